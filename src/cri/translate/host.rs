//! Everything about this node and the agent's settings that a translation depends on.
//!
//! Filled by whoever looks at the machine; the translation only reads it, so the same [`Host`] and pod always yield the
//! same requests, also offline for another node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::dns::ResolvConf;
use crate::cgroup::{Driver, Version};

/// A node, as far as pods can tell.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Host {
    /// The node's name.
    pub node_name: String,
    /// The node's addresses, primary first.
    pub node_ips: Vec<IpAddr>,
    /// All memory of the machine, in bytes (`MemTotal`).
    pub memory_capacity_bytes: i64,
    /// What pods may have of it.
    pub allocatable: Allocatable,
    /// Huge page sizes that the kernel has, as cgroup files name them: `2MB`, `1GB`, `64KB`.
    pub hugepage_sizes: Vec<String>,
    /// How pods' cgroups are laid out.
    pub cgroups: Cgroups,
    /// What containers may do with swap.
    pub swap: Swap,
    /// Where `pods/<uid>` and `seccomp` lie.
    pub root_dir: PathBuf,
    /// Where pods' log directories lie.
    pub pod_logs_dir: PathBuf,
    /// How names resolve.
    pub dns: DnsSettings,
    /// Whether a container that names no seccomp profile gets the runtime's instead of none.
    pub seccomp_default: bool,
    /// Sysctls beyond the safe ones: a name, or a prefix with `*` at its end.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// The running kernel.
    pub kernel: KernelVersion,
    /// The CFS period within which CPU limits are enforced; `None` leaves limits unenforced.
    pub cpu_cfs_period: Option<Duration>,
    /// CPUs with a `thermal_throttle` directory, which containers don't get to see.
    pub thermal_throttle_cpus: Vec<u32>,
    /// Whether `SELinux` is on.
    pub selinux: bool,
    /// Whether `AppArmor` is on.
    pub apparmor: bool,
    /// What each runtime handler can do; `""` is the default one.
    pub handlers: BTreeMap<String, HandlerFeatures>,
    /// Whether the runtime honours `supplementalGroupsPolicy: Strict` (`RuntimeFeatures.supplemental_groups_policy`).
    pub strict_groups: bool,
    /// The most processes a pod may have; `None` is no limit.
    pub pod_pids_limit: Option<i64>,
    /// Where pods find the API server, once there is one.
    pub api_server: Option<ApiServer>,
}

/// What pods may have of the node: the fallback of `resourceFieldRef` for a limit that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocatable {
    /// Thousandths of a CPU.
    pub cpu_milli: i64,
    /// Bytes of memory.
    pub memory_bytes: i64,
    /// Bytes of local storage, where known.
    pub ephemeral_storage_bytes: Option<i64>,
}

/// The node's cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    /// Which of the kernel's two interfaces is mounted.
    pub version: Version,
    /// Who makes the cgroups, and so how they are named.
    pub driver: Driver,
    /// The names on the way from the hierarchy's root down to the cgroup of all pods: `["kubepods"]` by default.
    pub root: Vec<String>,
    /// Whether pods are put below cgroups of their quality of service; without it the runtime chooses a pod's cgroup.
    pub per_qos: bool,
    /// Whether the kernel's OOM killer takes one process of a container rather than all.
    pub single_process_oom_kill: bool,
}

impl Host {
    /// Whether the runtime can mount read-only all the way down for pods of a handler; the default one is named by nothing.
    pub fn mounts_recursively_read_only(&self, handler: &str) -> bool {
        self.handlers.get(handler).is_some_and(|features| features.recursive_read_only_mounts)
    }
}

/// What containers may do with swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// The kernel can't limit swap: no figure is sent.
    NoController,
    /// Nothing is swapped.
    NoSwap,
    /// Burstable containers get a share of this many bytes, by their memory request (cgroup v2 only).
    Limited {
        /// All swap of the machine, in bytes.
        capacity_bytes: i64,
    },
}

/// How names resolve in pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSettings {
    /// The cluster's name servers; empty when there is none yet.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's domain; may be empty.
    pub cluster_domain: String,
    /// The node's own resolver; `None` when the agent is told to use none.
    pub resolver: Option<ResolvConf>,
}

/// The version of the running kernel, as far as rules ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion(pub u32, pub u32);

/// What a runtime handler says it can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HandlerFeatures {
    /// Mounts can be read-only all the way down.
    pub recursive_read_only_mounts: bool,
    /// Pods can have a user namespace of their own.
    pub user_namespaces: bool,
}

/// Where an API server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiServer {
    /// An IP address or a name.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The host IDs that a pod's user namespace maps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserNamespaceRange {
    /// What ID 0 in the pod is on the host.
    pub host_id: u32,
    /// How many IDs follow on.
    pub length: u32,
}

#[cfg(feature = "testing")]
impl Host {
    /// A plain node for tests: two CPUs, 8 GiB, cgroup v2 with the cgroupfs driver, a cluster DNS.
    pub fn for_tests() -> Self {
        Self {
            node_name: "node-1".to_owned(),
            node_ips: vec![IpAddr::from([192, 0, 2, 1])],
            memory_capacity_bytes: 8 << 30,
            allocatable: Allocatable {
                cpu_milli: 2000,
                memory_bytes: 7 << 30,
                ephemeral_storage_bytes: None,
            },
            hugepage_sizes: vec!["2MB".to_owned()],
            cgroups: Cgroups {
                version: Version::V2,
                driver: Driver::Cgroupfs,
                root: vec!["kubepods".to_owned()],
                per_qos: true,
                single_process_oom_kill: false,
            },
            swap: Swap::NoController,
            root_dir: PathBuf::from("/var/lib/daemonlet"),
            pod_logs_dir: PathBuf::from("/var/log/pods"),
            dns: DnsSettings {
                cluster_dns: vec![IpAddr::from([10, 96, 0, 10])],
                cluster_domain: "cluster.local".to_owned(),
                resolver: Some(ResolvConf::default()),
            },
            seccomp_default: false,
            allowed_unsafe_sysctls: Vec::new(),
            kernel: KernelVersion(6, 1),
            cpu_cfs_period: Some(Duration::from_millis(100)),
            thermal_throttle_cpus: Vec::new(),
            selinux: false,
            apparmor: true,
            handlers: BTreeMap::new(),
            strict_groups: true,
            pod_pids_limit: None,
            api_server: None,
        }
    }
}
