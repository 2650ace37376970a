//! A pod as the runtime is asked for it: the same requests that a kubelet sends for the same YAML.
//!
//! Pure: a Pod, what was prepared for it and the [`Host`] in, a request out. No I/O, no clock, no runtime; one module a rule, each named
//! after the field it fills. Rules: the kubelet's `pkg/kubelet/kuberuntime` of Kubernetes 1.32, with the fields that later
//! versions switch on by default.

mod amount;
pub mod annotations;
pub mod apparmor;
pub mod cgroup_parent;
pub mod container;
pub mod dns;
pub mod downward;
pub mod env;
pub mod error;
pub mod expansion;
mod go_json;
pub(crate) mod go_quote;
pub mod hash;
pub mod host;
pub mod hostname;
pub mod hosts_file;
mod hugepages;
pub mod labels;
pub mod mounts;
pub mod namespaces;
pub mod oom_score;
pub mod pod_cgroup;
pub mod pod_ips;
pub mod pod_resources;
mod ports;
pub mod qos;
pub mod resources;
pub mod runtime_class;
pub mod sandbox;
mod seccomp;
mod security;
mod stop_signal;
pub mod sysctl;
mod view;
mod warning;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod testing;

pub use container::{ContainerInputs, ImageUser, VolumeImage, VolumeMountSource, container_config};
pub use error::{Reason, TranslateError};
pub use host::Host;
pub use pod_cgroup::{PodCgroupLimits, pod_cgroup_limits};
pub use qos::QosClass;
pub use sandbox::{SandboxInputs, SandboxPlan, sandbox_config};
pub use warning::Warning;
