//! Who ends a pod before its time, other than the kubelet ([`super::failure`]): the pod's condition `DisruptionTarget` tells of it while it ends.
//!
//! Words: `pkg/scheduler/framework/preemption/executor.go` and `pkg/controller/tainteviction/taint_eviction.go`.

use serde::{Deserialize, Serialize};

/// What a pod is ended for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disruption {
    /// A pod of higher priority needs its place.
    PreemptionByScheduler,
    /// It does not tolerate a NoExecute taint of the node, or not for longer.
    DeletionByTaintManager,
}

impl Disruption {
    /// The condition's reason.
    pub const fn reason(self) -> &'static str {
        match self {
            Disruption::PreemptionByScheduler => "PreemptionByScheduler",
            Disruption::DeletionByTaintManager => "DeletionByTaintManager",
        }
    }

    /// The condition's message.
    pub const fn message(self) -> &'static str {
        match self {
            Disruption::PreemptionByScheduler => {
                "default-scheduler: preempting to accommodate a higher priority pod"
            }
            Disruption::DeletionByTaintManager => "Taint manager: deleting due to NoExecute taint",
        }
    }
}

/// Why a pod is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// For people.
    pub reason: &'static str,
    /// What it is ended for before its time, if it is.
    pub disruption: Option<Disruption>,
}

impl From<&'static str> for Cause {
    fn from(reason: &'static str) -> Self {
        Self { reason, disruption: None }
    }
}
