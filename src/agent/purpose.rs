//! What an agent runs for, and why it ends.

use crate::kubelet::Sign;
use crate::manifest::DaemonSetKey;

/// What an agent runs for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Looking after the node's pods, until it is told to end.
    LookAfter,
    /// Ending every pod that is here, with its hooks and its grace; then it ends itself.
    EndPods,
    /// Ending the pods of one DaemonSet, and leaving all others as they are.
    EndPodsOf(DaemonSetKey),
}

/// Why an agent no longer looks after pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to end.
    ToldTo,
    /// It has done what it was for.
    Done,
    /// A kubelet uses the runtime.
    Kubelet(Sign),
}
