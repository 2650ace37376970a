//! What Kubernetes says about images: Event messages, waiting reasons and waiting messages, word for word.
//!
//! Pure. Rule: the kubelet's `images/image_manager.go` and `images/types.go`. Event reasons and types are given beside each
//! text; whoever records the Event attaches them to the container.

use std::fmt;
use std::time::Duration;

use super::{ImageName, ImageNameError};
use crate::go_duration::GoDuration;

/// The waiting reason of a container whose image is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageReason {
    /// The name does not parse.
    InvalidImageName,
    /// The runtime could not say whether it has the image.
    ImageInspectError,
    /// Absent, and the policy is `Never`.
    ErrImageNeverPull,
    /// A pull failed.
    ErrImagePull,
    /// A pull failed lately and is not tried yet.
    ImagePullBackOff,
    /// The runtime says that the registry does not answer.
    RegistryUnavailable,
    /// The runtime says that the image's signature does not hold.
    SignatureValidationFailed,
}

impl ImageReason {
    /// Kubernetes' spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidImageName => "InvalidImageName",
            Self::ImageInspectError => "ImageInspectError",
            Self::ErrImageNeverPull => "ErrImageNeverPull",
            Self::ErrImagePull => "ErrImagePull",
            Self::ImagePullBackOff => "ImagePullBackOff",
            Self::RegistryUnavailable => "RegistryUnavailable",
            Self::SignatureValidationFailed => "SignatureValidationFailed",
        }
    }
}

impl fmt::Display for ImageReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a container waits for its image: what its status shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageProblem {
    /// `state.waiting.reason`.
    pub reason: ImageReason,
    /// `state.waiting.message`.
    pub message: String,
}

impl ImageProblem {
    /// The name does not parse. The message is also a Warning Event `InspectFailed`.
    pub fn invalid_name(error: &ImageNameError) -> Self {
        let (image, reason) = (&error.image, &error.reason);
        Self {
            reason: ImageReason::InvalidImageName,
            message: format!("Failed to apply default image tag {image:?}: {error}: {reason}"),
        }
    }

    /// `ImageStatus` failed with `error`, the runtime's own text. The message is also a Warning Event `InspectFailed`.
    pub fn inspect_failed(image: &ImageName, error: &str) -> Self {
        Self {
            reason: ImageReason::ImageInspectError,
            message: format!("Failed to inspect image {:?}: {error}", image.as_written()),
        }
    }

    /// Absent under `Never`. The message is also a Warning Event `ErrImageNeverPull`.
    pub fn never_pull(image: &ImageName) -> Self {
        Self {
            reason: ImageReason::ErrImageNeverPull,
            message: format!(
                "Container image {:?} is not present with pull policy of Never",
                image.as_written()
            ),
        }
    }

    /// A pull failed with `error`, the runtime's own text. The Event is [`pull_failed_event`].
    pub fn pull_failed(image: &ImageName, error: &str) -> Self {
        let special = [
            (ImageReason::RegistryUnavailable, "the registry is unavailable"),
            (ImageReason::SignatureValidationFailed, "the signature validation failed"),
        ];
        for (reason, says) in special {
            if let Some(rest) = error.strip_prefix(reason.as_str()) {
                return Self {
                    reason,
                    message: format!("image pull failed for {image} because {says}{rest}"),
                };
            }
        }
        Self { reason: ImageReason::ErrImagePull, message: error.to_owned() }
    }

    /// A pull failed lately with `previous`. The Event is [`back_off_event`].
    pub fn back_off(image: &ImageName, previous: Option<&Self>) -> Self {
        let mut message = back_off_event(image);
        if let Some(previous) = previous {
            message.extend([": ", previous.reason.as_str(), ": ", &previous.message]);
        }
        Self { reason: ImageReason::ImagePullBackOff, message }
    }
}

/// Normal Event `Pulled` when the image was there already.
pub fn already_present_event(image: &ImageName) -> String {
    format!("Container image {:?} already present on machine", image.as_written())
}

/// Normal Event `Pulling`.
pub fn pulling_event(image: &ImageName) -> String {
    format!("Pulling image {:?}", image.as_written())
}

/// Normal Event `BackOff`.
pub fn back_off_event(image: &ImageName) -> String {
    format!("Back-off pulling image {:?}", image.as_written())
}

/// Warning Event `Failed`, with the runtime's own text.
pub fn pull_failed_event(image: &ImageName, error: &str) -> String {
    format!("Failed to pull image {:?}: {error}", image.as_written())
}

/// A pull that succeeded. Displayed, it is the Normal Event `Pulled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullReport<'a> {
    /// What was pulled.
    pub image: &'a ImageName,
    /// How long the runtime took.
    pub took: Duration,
    /// The same with the time spent waiting for other pulls.
    pub with_waiting: Duration,
    /// The image's size as the runtime tells it, in bytes.
    pub size_bytes: u64,
}

impl fmt::Display for PullReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Successfully pulled image {:?} in {} ({} including waiting). Image size: {} bytes.",
            self.image.as_written(),
            GoDuration::truncated_to_millis(self.took),
            GoDuration::truncated_to_millis(self.with_waiting),
            self.size_bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> ImageName {
        ImageName::parse(name).unwrap()
    }

    #[test]
    fn an_invalid_name_is_told_as_the_kubelet_tells_it() {
        let problem = ImageProblem::invalid_name(&ImageName::parse("nginx:").unwrap_err());
        assert_eq!(problem.reason.as_str(), "InvalidImageName");
        assert_eq!(
            problem.message,
            r#"Failed to apply default image tag "nginx:": couldn't parse image name "nginx:": invalid reference format"#
        );
    }

    #[test]
    fn a_failed_pull_keeps_the_runtimes_words_and_back_off_repeats_them() {
        let x = image("r.example/x:1");
        let failed = ImageProblem::pull_failed(&x, "rpc error: code = NotFound desc = no such image");
        assert_eq!(failed.reason, ImageReason::ErrImagePull);
        assert_eq!(failed.message, "rpc error: code = NotFound desc = no such image");
        let waiting = ImageProblem::back_off(&x, Some(&failed));
        assert_eq!(waiting.reason, ImageReason::ImagePullBackOff);
        assert_eq!(
            waiting.message,
            "Back-off pulling image \"r.example/x:1\": ErrImagePull: rpc error: code = NotFound desc = no such image"
        );
        assert_eq!(ImageProblem::back_off(&x, None).message, "Back-off pulling image \"r.example/x:1\"");
    }

    #[test]
    fn what_the_runtime_marks_is_told_apart() {
        let x = image("x:1");
        let problem = ImageProblem::pull_failed(&x, "RegistryUnavailable: down for lunch");
        assert_eq!(problem.reason, ImageReason::RegistryUnavailable);
        assert_eq!(
            problem.message,
            "image pull failed for x:1 because the registry is unavailable: down for lunch"
        );
        let problem = ImageProblem::pull_failed(&x, "SignatureValidationFailed");
        assert_eq!(problem.reason, ImageReason::SignatureValidationFailed);
        assert_eq!(problem.message, "image pull failed for x:1 because the signature validation failed");
    }

    #[test]
    fn events_are_worded_as_the_kubelets() {
        let x = image("x:1");
        assert_eq!(pulling_event(&x), "Pulling image \"x:1\"");
        assert_eq!(already_present_event(&x), "Container image \"x:1\" already present on machine");
        assert_eq!(pull_failed_event(&x, "boom"), "Failed to pull image \"x:1\": boom");
        assert_eq!(
            ImageProblem::never_pull(&x).message,
            "Container image \"x:1\" is not present with pull policy of Never"
        );
        let report = PullReport {
            image: &x,
            took: Duration::from_micros(1_234_567),
            with_waiting: Duration::from_millis(61_500),
            size_bytes: 42,
        };
        assert_eq!(
            report.to_string(),
            "Successfully pulled image \"x:1\" in 1.234s (1m1.5s including waiting). Image size: 42 bytes."
        );
    }
}
