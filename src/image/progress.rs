//! How far a pull is, from what the runtime says that it is receiving.
//!
//! Pure. A blob that is no longer being received counts as whole. The size of a blob is only known once its turn has come, so what is still
//! to come may grow.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// How far a pull is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullProgress {
    blobs: BTreeMap<String, Blob>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Blob {
    received: u64,
    size: u64,
}

impl PullProgress {
    /// Takes what is being received now: name, bytes received and size of each blob.
    pub fn note(&mut self, receiving: impl IntoIterator<Item = (String, u64, u64)>) {
        for blob in self.blobs.values_mut() {
            blob.received = blob.size;
        }
        for (name, received, size) in receiving {
            self.blobs.insert(name, Blob { received, size: size.max(received) });
        }
    }

    /// Whether nothing was received yet.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// How much was received, of how much.
    pub fn so_far(&self) -> Received {
        let sum = |part: fn(&Blob) -> u64| self.blobs.values().map(part).sum::<u64>();
        Received { bytes: sum(|blob| blob.received), of: sum(|blob| blob.size) }
    }
}

/// How much of an image was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// So many bytes.
    pub bytes: u64,
    /// Of so many, as far as is known.
    pub of: u64,
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", Megabytes(self.bytes), Megabytes(self.of))
    }
}

/// The annotation of a pod that is shown while an image is pulled for it: a [`Pulling`] as JSON. Kubernetes' status has no field for it.
pub const PULLING: &str = "daemonlet.dev/pulling";

/// The pull that a pod waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulling {
    /// The container whose image it is.
    pub container: String,
    /// The image, as the pod names it.
    pub image: String,
    /// How far the pull is.
    pub received: Received,
}

impl Pulling {
    /// The pull that a pod waits for by its annotation, if it waits for one.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        serde_json::from_str(metadata.annotations.as_ref()?.get(PULLING)?).ok()
    }

    /// Has a pod's annotation say so.
    pub fn note(&self, metadata: &mut ObjectMeta) {
        if let Ok(text) = serde_json::to_string(self) {
            metadata.annotations.get_or_insert_default().insert(PULLING.to_owned(), text);
        }
    }

    /// What the container shows as its waiting message.
    pub fn message(&self) -> String {
        format!("Pulling image {:?}: received {}", self.image, self.received)
    }
}

/// Shown to a tenth.
struct Megabytes(u64);

impl fmt::Display for Megabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0 / 100_000;
        write!(f, "{}.{} MB", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    #[test]
    fn blobs_that_are_no_longer_received_are_whole() {
        let mut progress = PullProgress::default();
        progress.note([("a".to_owned(), MB, 10 * MB), ("b".to_owned(), 0, 5 * MB)]);
        assert_eq!(progress.so_far().to_string(), "1.0 MB of 15.0 MB");
        progress.note([("b".to_owned(), 2 * MB + MB / 2, 5 * MB), ("c".to_owned(), MB / 10, MB)]);
        assert_eq!(progress.so_far().to_string(), "12.6 MB of 16.0 MB");
        progress.note([]);
        assert_eq!(progress.so_far().to_string(), "16.0 MB of 16.0 MB");
    }

    #[test]
    fn a_pod_and_a_message_tell_how_far_the_pull_is() {
        let mut progress = PullProgress::default();
        progress.note([("a".to_owned(), MB, 2 * MB)]);
        let (container, image) = ("main".to_owned(), "r.example:5000/app:1".to_owned());
        let pulling = Pulling { container, image, received: progress.so_far() };
        assert_eq!(pulling.message(), "Pulling image \"r.example:5000/app:1\": received 1.0 MB of 2.0 MB");
        let mut metadata = ObjectMeta::default();
        assert_eq!(Pulling::of(&metadata), None);
        pulling.note(&mut metadata);
        assert_eq!(Pulling::of(&metadata), Some(pulling));
    }
}
