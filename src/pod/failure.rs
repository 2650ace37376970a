//! Why a pod has failed for good: it is ended, its status stays until the DaemonSet's turn comes to replace it, and it never runs again.
//!
//! The kubelet's terminal refusals and evictions (`pkg/kubelet/lifecycle/predicate.go`, `rejectPod`, `eviction_manager.go`). What may work
//! at the next try (an image, a network, a sandbox) is no failure: such a pod waits.

use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cri::translate::Reason;

/// A pod's end before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// `status.reason`
    pub reason: FailureReason,
    /// `status.message`
    pub message: String,
    /// A shorter grace period than the pod's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Duration>,
    /// Whether the pod itself is at fault.
    pub fault: Fault,
}

/// The one word for why a pod has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureReason {
    /// It was in the way of a node that runs out of something, or it took more of the disk than its limits allow.
    Evicted,
    /// The machine was going down.
    Terminated,
    /// It was not admitted: it sets a sysctl that the node does not allow.
    SysctlForbidden,
    /// It was not admitted: it asks for an `AppArmor` profile, which the node can't enforce.
    AppArmor,
    /// It was not admitted: it asks for strict groups, which the runtime can't give.
    SupplementalGroupsPolicyNotSupported,
}

impl FailureReason {
    /// The failure that a pod has which can't be translated to requests; `None` if it may be at the next try.
    pub const fn of_refusal(reason: Reason) -> Option<Self> {
        match reason {
            Reason::SysctlForbidden => Some(FailureReason::SysctlForbidden),
            Reason::AppArmor => Some(FailureReason::AppArmor),
            Reason::SupplementalGroupsPolicyNotSupported => {
                Some(FailureReason::SupplementalGroupsPolicyNotSupported)
            }
            Reason::CreatePodSandboxError | Reason::CreateContainerConfigError => None,
        }
    }

    /// The word as it stands in a status.
    pub const fn as_str(self) -> &'static str {
        match self {
            FailureReason::Evicted => "Evicted",
            FailureReason::Terminated => "Terminated",
            FailureReason::SysctlForbidden => "SysctlForbidden",
            FailureReason::AppArmor => "AppArmor",
            FailureReason::SupplementalGroupsPolicyNotSupported => "SupplementalGroupsPolicyNotSupported",
        }
    }
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The pod's own.
    Own,
    /// The node's: the pod is sacrificed, and has the condition `DisruptionTarget`.
    Node,
}

impl Failure {
    /// The failure of a pod that is not admitted to the node.
    pub fn refused(reason: FailureReason, why: &str) -> Self {
        Self { reason, message: format!("Pod was rejected: {why}"), grace: None, fault: Fault::Own }
    }

    /// The failure of a pod that ends because the machine goes down, within `grace` if its own is not shorter.
    pub fn terminated(grace: Duration) -> Self {
        let message = "Pod was terminated in response to imminent node shutdown.".to_owned();
        Self { reason: FailureReason::Terminated, message, grace: Some(grace), fault: Fault::Node }
    }
}

/// A failure as it stands on a pod's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureNote {
    /// What happened.
    pub failure: Failure,
    /// When.
    pub at: Timestamp,
    /// The pod's last status, once nothing of it runs: what it tells of is removed from the runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PodStatus>,
}
