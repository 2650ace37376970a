//! Who this node is: its name, labels, taints, capacity and conditions, as one Kubernetes Node object.
//!
//! What an operator writes (`node.yaml`, a Node in the store) is laid over what the host is ([`HostFacts`]); [`effective`] does so
//! and is pure. Only [`host`] and [`watch`] touch the system. Nothing here decides what runs: that is `placement`'s.

mod conditions;
mod file;
pub mod host;
mod identity;
mod merge;
mod pressure;
mod resources;
mod taint_times;
pub mod watch;
mod watched;
mod well_known;

pub use conditions::{Readiness, Runtime};
pub use host::{CgroupVersion, HostError, HostFacts};
pub use identity::{InvalidNodeName, NodeName};
pub use merge::{Inputs, effective};
pub use pressure::{Pressure, PressureKind, Strain};
pub(crate) use resources::bytes as binary_quantity;
pub use resources::{EvictionThresholds, Reserved, ResourcePolicy, Threshold};
pub use well_known::{ARCH, HOSTNAME, OS, UNSCHEDULABLE};
