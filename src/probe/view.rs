//! What a pod worker tells its probes about the pod: the whole of it, each time.
//!
//! Plain values; no rule.

use std::time::Instant;

use crate::cri::ContainerId;

/// A container as the runtime has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView<'a> {
    /// Its name in the pod's spec.
    pub name: &'a str,
    /// Its newest instance.
    pub state: ContainerState,
    /// Whether the startup probe of this instance is known to have succeeded, before there were these probes.
    pub had_started: bool,
}

/// The newest instance of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ContainerState {
    /// There is none, or it is created and not started.
    #[default]
    Absent,
    /// It runs.
    Running {
        /// Which.
        id: ContainerId,
        /// Since when, on the monotonic clock. Made from the runtime's wall time once, when the instance is first seen.
        since: Instant,
    },
    /// It has ended.
    Terminated {
        /// Which.
        id: ContainerId,
    },
}

impl ContainerState {
    /// The instance, if it runs.
    pub fn running(&self) -> Option<&ContainerId> {
        match self {
            Self::Running { id, .. } => Some(id),
            Self::Absent | Self::Terminated { .. } => None,
        }
    }
}

/// Where the pod is in its life, as far as probes care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PodPhase {
    /// It is to run.
    #[default]
    Live,
    /// It is being stopped: nothing may be restarted any more, but readiness still shows.
    Terminating,
}
