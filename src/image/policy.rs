//! When to pull: `imagePullPolicy`, its default, and the decision for one container start.
//!
//! Pure. Rules: `SetDefaults_Container` in `pkg/apis/core/v1/defaults.go`, `shouldPullImage` and `EnsureImageExists` of the
//! kubelet's image manager.

use std::fmt;
use std::str::FromStr;

use super::ImageName;
use crate::backoff::Turn;

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PullPolicy {
    /// Ask the registry at every start.
    Always,
    /// Pull only what is not there.
    IfNotPresent,
    /// Never pull.
    Never,
}

/// A string that is no pull policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown image pull policy {0:?}: must be Always, IfNotPresent or Never")]
pub struct UnknownPullPolicy(pub String);

impl PullPolicy {
    /// The policy of an image for which this one is written, or none that is known.
    pub fn of(image: &str, written: Option<&str>) -> Self {
        written.and_then(|policy| policy.parse().ok()).unwrap_or_else(|| Self::default_for(image))
    }

    /// The policy of a container that states none: `Always` for the tag `latest`, written or implied, else `IfNotPresent`.
    pub fn default_for(image: &str) -> Self {
        match ImageName::parse(image) {
            Ok(name) if name.effective_tag() == Some("latest") => Self::Always,
            // The API server defaults a name it can't parse like one with a tag.
            _ => Self::IfNotPresent,
        }
    }

    /// Kubernetes' spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }

    /// What to do about an image before a container is created.
    ///
    /// `backoff` is the turn of this pod and image; it holds back pulls only, never an image that is there.
    pub fn decide(self, presence: Presence, backoff: Turn) -> Decision {
        match (self, presence, backoff) {
            (Self::IfNotPresent | Self::Never, Presence::Present, _) => Decision::UsePresent,
            (Self::Never, Presence::Absent, _) => Decision::RefuseToPull,
            (_, _, Turn::Wait { .. }) => Decision::BackOff(backoff),
            (_, _, Turn::Now) => Decision::Pull,
        }
    }
}

impl FromStr for PullPolicy {
    type Err = UnknownPullPolicy;

    fn from_str(policy: &str) -> Result<Self, Self::Err> {
        [Self::Always, Self::IfNotPresent, Self::Never]
            .into_iter()
            .find(|known| known.as_str() == policy)
            .ok_or_else(|| UnknownPullPolicy(policy.to_owned()))
    }
}

impl fmt::Display for PullPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Does the runtime have the image?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// `ImageStatus` found it.
    Present,
    /// It did not.
    Absent,
}

/// What to do about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Use what is there.
    UsePresent,
    /// Pull it now.
    Pull,
    /// It is not there and must not be pulled: `ErrImageNeverPull`.
    RefuseToPull,
    /// A pull failed lately: `ImagePullBackOff`, for as long as this turn says.
    BackOff(Turn),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn latest_is_pulled_always_and_the_rest_if_not_present() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (image, policy) in [
            ("x", PullPolicy::Always),
            ("x:latest", PullPolicy::Always),
            ("r.example:5000/x", PullPolicy::Always),
            ("x:1", PullPolicy::IfNotPresent),
            (&format!("x@{digest}"), PullPolicy::IfNotPresent),
            (&format!("x:latest@{digest}"), PullPolicy::Always),
            ("NOT an image", PullPolicy::IfNotPresent),
        ] {
            for written in [None, Some(""), Some("always")] {
                assert_eq!(PullPolicy::of(image, written), policy, "{image}");
            }
            assert_eq!(PullPolicy::of(image, Some("Never")), PullPolicy::Never, "{image}");
        }
    }

    #[test]
    fn back_off_holds_back_pulls_and_nothing_else() {
        use Presence::{Absent, Present};
        let wait = Turn::Wait { delay: Duration::from_secs(10), remaining: Duration::from_secs(4) };
        for (policy, presence, turn, decision) in [
            (PullPolicy::Always, Present, Turn::Now, Decision::Pull),
            (PullPolicy::Always, Present, wait, Decision::BackOff(wait)),
            (PullPolicy::Always, Absent, Turn::Now, Decision::Pull),
            (PullPolicy::IfNotPresent, Present, wait, Decision::UsePresent),
            (PullPolicy::IfNotPresent, Absent, Turn::Now, Decision::Pull),
            (PullPolicy::IfNotPresent, Absent, wait, Decision::BackOff(wait)),
            (PullPolicy::Never, Present, wait, Decision::UsePresent),
            (PullPolicy::Never, Absent, Turn::Now, Decision::RefuseToPull),
        ] {
            assert_eq!(policy.decide(presence, turn), decision, "{policy} {presence:?} {turn:?}");
        }
    }

    #[test]
    fn policies_are_spelled_as_kubernetes_spells_them() {
        for policy in [PullPolicy::Always, PullPolicy::IfNotPresent, PullPolicy::Never] {
            assert_eq!(policy.as_str().parse(), Ok(policy));
        }
        assert_eq!("always".parse::<PullPolicy>(), Err(UnknownPullPolicy("always".into())));
    }
}
