//! Ports of the node that a pod holds, and which of them can't be held together.
//!
//! Rule: `HostPortInfo.CheckConflict` in `pkg/scheduler/framework/types.go`. Processes outside of pods are never looked at.

use std::fmt;

use k8s_openapi::api::core::v1::ContainerPort;

/// Every address of the node. `::` is no such word to the scheduler.
const ANY: &str = "0.0.0.0";

/// A port of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    protocol: String,
    address: String,
    port: i32,
}

impl HostPort {
    /// The port of the node that this one opens, if it opens any.
    pub fn of(port: &ContainerPort) -> Option<Self> {
        let or = |text: &Option<String>, default: &str| {
            text.as_deref().filter(|text| !text.is_empty()).unwrap_or(default).to_owned()
        };
        let number = port.host_port.filter(|number| *number > 0)?;
        Some(Self { protocol: or(&port.protocol, "TCP"), address: or(&port.host_ip, ANY), port: number })
    }

    /// Whether only one pod can have it.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let meets = self.address == other.address || self.address == ANY || other.address == ANY;
        self.protocol == other.protocol && self.port == other.port && meets
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address != ANY {
            write!(f, "{}:", self.address)?;
        }
        write!(f, "{}/{}", self.port, self.protocol)
    }
}
