//! The cgroups that pods live in: the node's, one a `QoS` class, one a pod; made, limited,
//! listed and removed as the kubelet does.
//!
//! Works on cgroup v1 (each controller's own hierarchy) and v2. With the systemd driver cgroups are slices: systemd is asked to make,
//! limit and stop them (`slice`), and only what it has no word for is written by us. What a cgroup may use is computed by
//! pure functions (`limits`).
//! Rules: `pkg/kubelet/cm` (`cgroup_manager_linux.go`, `qos_container_manager_linux.go`).
//!
//! What this room must never do: touch a cgroup outside its root, or kill a process that is not in a pod's cgroup.

mod control;
mod hierarchy;
mod limits;
mod manager;
mod removal;
mod slice;

#[cfg(test)]
mod tests;

pub use hierarchy::Version;
pub use limits::{CpuQuota, HugePages, Limits, host_page_sizes};
pub use manager::{CgroupError, CgroupManager, Driver, Missing, PodCgroup};
