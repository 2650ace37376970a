//! Who this node is: its name, labels, taints, capacity and conditions, as one Kubernetes Node object.
//!
//! What an operator writes (`node.yaml`, a Node in the store) is laid over what the host is ([`HostFacts`]); [`effective`] does so
//! and is pure. Only [`host`] and [`watch`] touch the system. Nothing here decides what runs: that is `placement`'s.

mod conditions;
mod edit;
mod file;
pub mod first_seen;
pub mod host;
mod identity;
mod merge;
mod pressure;
mod resources;
mod rewrite;
mod taint_times;
pub mod watch;
mod watched;
mod well_known;

pub use conditions::{Readiness, Runtime};
pub use edit::Edit;
pub use file::{THIS_NODE, interpret};
pub use host::{HostError, HostFacts};
pub use identity::{InvalidNodeName, NodeName};
pub use merge::{Inputs, effective};
pub use pressure::{Pressure, PressureKind, Strain};
pub(crate) use resources::bytes as binary_quantity;
pub use resources::{EvictionThresholds, Reserved, ResourcePolicy, Threshold};
pub use rewrite::{RewriteError, rewrite};
pub use well_known::{ARCH, DRAINED, HOSTNAME, OS, UNSCHEDULABLE};

/// Where the node's description is.
#[derive(Debug, Clone)]
pub struct NodeFiles {
    /// `node.yaml`
    pub file: std::path::PathBuf,
    /// Where the last good content of it is kept.
    pub last_good: std::path::PathBuf,
}

/// Whether the node was drained of all pods, those of DaemonSets included, and has not been uncordoned since.
pub fn is_drained(node: &k8s_openapi::api::core::v1::Node) -> bool {
    let is_cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default();
    is_cordoned && node.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(DRAINED))
}
