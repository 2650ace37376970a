//! The checked configuration, in types that say what they mean.

mod logging;
mod store;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::cgroup::Driver;
use crate::eviction::EvictionPolicy;
use crate::image::garbage::Thresholds as ImageThresholds;
use crate::node::{NodeName, ResourcePolicy};
use crate::policy::Policy;
use crate::shutdown::Schedule;

pub use logging::{LogFormat, LogLevel, Logging};
pub use store::{Poll, Store};

/// The agent's configuration. The keys, their defaults and their meaning are those of the sample file ([`super::sample`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The node's name; none: the hostname.
    pub node_name: Option<NodeName>,
    /// The Node object with this node's labels and taints.
    pub node_file: PathBuf,
    /// The node's IPs, at most one a family, the primary one first; empty: found out.
    pub node_ips: Vec<IpAddr>,
    /// State and volumes.
    pub root_dir: PathBuf,
    /// Where manifests come from.
    pub store: Store,
    /// The socket of the runtime's CRI.
    pub container_runtime_endpoint: PathBuf,
    /// The socket of containerd's own API.
    pub containerd_endpoint: PathBuf,
    /// How long the runtime may take to answer.
    pub runtime_request_timeout: Duration,
    /// Between two listings of containers that make sure that no event was missed.
    pub runtime_relist_interval: Duration,
    /// The socket of the agent's own API.
    pub api_socket: PathBuf,
    /// Containers' logs.
    pub pod_logs_dir: PathBuf,
    /// Links to containers' logs.
    pub container_logs_dir: PathBuf,
    /// Who manages control groups; none: whoever the runtime says.
    pub cgroup_driver: Option<Driver>,
    /// The control group below which pods have theirs; empty: the root.
    pub cgroup_root: String,
    /// DNS servers of pods with dnsPolicy `ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's DNS domain.
    pub cluster_domain: Option<String>,
    /// The resolver configuration of pods that use the host's.
    pub resolv_conf: Option<PathBuf>,
    /// How many processes a pod may have; none: any number.
    pub pod_pids_limit: Option<u64>,
    /// Whether containers that name no seccomp profile get the runtime's own.
    pub seccomp_default: bool,
    /// Sysctls beyond the safe ones, or beginnings of some with a `*`.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Whether CPU limits are enforced.
    pub cpu_cfs_quota: bool,
    /// The period over which they are.
    pub cpu_cfs_quota_period: Duration,
    /// The longest wait between two starts of a container that keeps failing.
    pub max_container_restart_period: Duration,
    /// How large containers' logs grow, and how many files of each are kept.
    pub container_logs: LogBounds,
    /// When images that nobody needs are removed.
    pub image_gc: ImageThresholds,
    /// Where the registry credentials are that are for every pod; none: `config.json` in the root directory, if it is there.
    pub image_credentials_file: Option<PathBuf>,
    /// The folder of image archives; none: `images` in the root directory.
    pub image_archives_dir: Option<PathBuf>,
    /// Whether there is a sandbox image for a node that can get no other.
    pub built_in_sandbox_image: bool,
    /// The keys with which bundles must be signed; none: they need not be.
    pub trust_file: Option<PathBuf>,
    /// What becomes of bundles that were applied.
    pub bundles: AppliedBundles,
    /// How many images are pulled at once, at least 1.
    pub max_parallel_image_pulls: u32,
    /// Where pods find the Kubernetes API.
    pub api_server: Option<ApiServer>,
    /// What pods may do: `podSecurity`, `allowedHostPaths`, `allowedImageRegistries`.
    pub policy: Policy,
    /// `maxPods`, `systemReserved`, `kubeReserved` and `evictionHard`.
    pub resources: ResourcePolicy,
    /// What happens when the node runs short.
    pub eviction: EvictionPolicy,
    /// Where workloads touch files to hold updates back.
    pub holds_dir: PathBuf,
    /// How long such a touch counts.
    pub hold_file_ttl: Duration,
    /// What happens when a kubelet is found on the same runtime.
    pub on_kubelet: OnKubelet,
    /// Where static pods are handed over to; none: where the kubelet reads them, or its usual place.
    pub static_pod_path: Option<PathBuf>,
    /// How long the kubelet may take to start a static pod; zero: its start is not waited for.
    pub static_pod_start_deadline: Duration,
    /// In which order and how long pods end before the machine goes down.
    pub shutdown: Schedule,
    /// The agent's own log.
    pub logging: Logging,
}

/// Where image archives lie unless configured, below the state directory.
const ARCHIVES_DIR: &str = "images";

impl Settings {
    /// The folder of image archives.
    pub fn image_archives_dir(&self) -> PathBuf {
        self.image_archives_dir.clone().unwrap_or_else(|| self.root_dir.join(ARCHIVES_DIR))
    }
}

/// The bounds of one container's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// From how many bytes on it is rotated; none: never.
    pub max_size: Option<u64>,
    /// How many files there may be of it, itself included; at least 2.
    pub max_files: u32,
}

/// What an agent does that finds a kubelet on its runtime. Whichever it is, it looks after no pod from then on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnKubelet {
    /// It ends, and does not start.
    Refuse,
    /// It leaves the pods to the kubelet, stays to say so, and comes back when it is told to.
    #[default]
    Yield,
    /// It makes the pods the kubelet's own, one DaemonSet at a time.
    HandOver,
}

/// What becomes of bundles that were applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AppliedBundles {
    /// The last two stay among the image archives, so that their images come back.
    #[default]
    Kept,
    /// They go.
    LetGo,
}

/// Where pods find the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiServer {
    /// `KUBERNETES_SERVICE_HOST`
    pub host: String,
    /// `KUBERNETES_SERVICE_PORT`
    pub port: u16,
}
