//! From this machine and the settings to what the translation must know of the node.
//!
//! Hardware and kernel are read once, as they don't change under a running agent; addresses and resolver are looked at again.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use tracing::warn;

use crate::cgroup::{Driver, Version};
use crate::config::Settings;
use crate::cri::translate::dns::ResolvConf;
use crate::cri::translate::host::{
    Allocatable, ApiServer, Cgroups, DnsSettings, HandlerFeatures, Host, KernelVersion, Swap,
};
use crate::cri::{CriClient, CriError, Detail, proto};
use crate::node::HostFacts;

/// What the runtime says of itself that requests depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RuntimeFacts {
    driver: Option<Driver>,
    handlers: BTreeMap<String, HandlerFeatures>,
    strict_groups: bool,
}

impl RuntimeFacts {
    /// Asks the runtime. One that doesn't know the question has no answer, which is no error.
    pub(super) async fn ask(cri: &CriClient) -> Result<Self, CriError> {
        let driver = match cri.runtime_config().await? {
            Some(driver) => Some(driver),
            None => cri.configured_cgroup_driver().await?,
        };
        let driver = driver.map(|driver| match driver {
            proto::CgroupDriver::Systemd => Driver::Systemd,
            proto::CgroupDriver::Cgroupfs => Driver::Cgroupfs,
        });
        let status = cri.status(Detail::Brief).await?;
        let strict_groups = status.features.is_some_and(|features| features.supplemental_groups_policy);
        let handlers = status.runtime_handlers.into_iter().map(|handler| {
            let features = handler.features.unwrap_or_default();
            let features = HandlerFeatures {
                recursive_read_only_mounts: features.recursive_read_only_mounts,
                user_namespaces: features.user_namespaces,
            };
            (handler.name, features)
        });
        Ok(Self { driver, handlers: handlers.collect(), strict_groups })
    }
}

/// Describes the node.
pub(super) fn describe(
    settings: &Settings,
    node_name: &str,
    facts: &HostFacts,
    allocatable: Allocatable,
    runtime: RuntimeFacts,
) -> Host {
    let driver = settings.cgroup_driver.or(runtime.driver).unwrap_or(Driver::Cgroupfs);
    Host {
        node_name: node_name.to_owned(),
        node_ips: addresses_or_loopback(&facts.addresses),
        memory_capacity_bytes: i64::try_from(facts.memory_bytes).unwrap_or(i64::MAX),
        allocatable,
        hugepage_sizes: crate::cgroup::host_page_sizes().unwrap_or_default(),
        cgroups: Cgroups {
            version: facts.cgroup,
            driver,
            root: cgroup_root(&settings.cgroup_root),
            per_qos: true,
            single_process_oom_kill: facts.cgroup == Version::V1,
        },
        swap: if facts.swap_controller { Swap::NoSwap } else { Swap::NoController },
        root_dir: settings.root_dir.clone(),
        pod_logs_dir: settings.pod_logs_dir.clone(),
        dns: DnsSettings {
            cluster_dns: settings.cluster_dns.clone(),
            cluster_domain: settings.cluster_domain.clone().unwrap_or_default(),
            resolver: settings.resolv_conf.as_deref().map(read_resolv_conf),
        },
        seccomp_default: settings.seccomp_default,
        allowed_unsafe_sysctls: settings.allowed_unsafe_sysctls.clone(),
        kernel: kernel_version(&facts.kernel_release),
        cpu_cfs_period: settings.cpu_cfs_quota.then_some(settings.cpu_cfs_quota_period),
        thermal_throttle_cpus: thermal_throttle_cpus(Path::new("/sys/devices/system/cpu")),
        selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        apparmor: fs::read_to_string("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|text| text.starts_with('Y')),
        handlers: runtime.handlers,
        strict_groups: runtime.strict_groups,
        pod_pids_limit: settings.pod_pids_limit.and_then(|limit| i64::try_from(limit).ok()),
        api_server: settings
            .api_server
            .as_ref()
            .map(|server| ApiServer { host: server.host.clone(), port: server.port }),
    }
}

/// The node with the addresses and the resolver that it has now.
pub(super) fn refreshed(host: &Host, settings: &Settings, addresses: &[IpAddr]) -> Host {
    let resolver = settings.resolv_conf.as_deref().map(read_resolv_conf);
    Host {
        node_ips: addresses_or_loopback(addresses),
        dns: DnsSettings { resolver, ..host.dns.clone() },
        ..host.clone()
    }
}

/// The node's addresses for its pods when the host has none: a node without network still has itself.
fn addresses_or_loopback(addresses: &[IpAddr]) -> Vec<IpAddr> {
    if addresses.is_empty() { vec![IpAddr::from([127, 0, 0, 1])] } else { addresses.to_vec() }
}

fn cgroup_root(configured: &str) -> Vec<String> {
    let parts = configured.split('/').filter(|part| !part.is_empty()).map(str::to_owned);
    parts.chain(["kubepods".to_owned()]).collect()
}

/// The resolver's file as it is; one that isn't there yet, or can't be understood, is an empty one until it can.
fn read_resolv_conf(path: &Path) -> ResolvConf {
    let read = fs::read_to_string(path).map_err(|error| error.to_string());
    let read = read.and_then(|text| ResolvConf::parse(&text).map_err(|error| error.to_string()));
    read.unwrap_or_else(|problem| {
        warn!(path = %path.display(), problem, "resolvConf can't be used; pods get no name servers of the node's");
        ResolvConf::default()
    })
}

fn kernel_version(release: &str) -> KernelVersion {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    KernelVersion(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn thermal_throttle_cpus(dir: &Path) -> Vec<u32> {
    let mut cpus: Vec<u32> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("thermal_throttle").is_dir())
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("cpu")?.parse().ok())
        .collect();
    cpus.sort_unstable();
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_release_is_read_up_to_its_second_number() {
        for (release, expected) in
            [("6.1.0-18-amd64", (6, 1)), ("5.10.0", (5, 10)), ("4.4", (4, 4)), ("odd", (0, 0))]
        {
            assert_eq!(kernel_version(release), KernelVersion(expected.0, expected.1), "{release}");
        }
    }

    #[test]
    fn pods_lie_in_kubepods_below_the_configured_root() {
        assert_eq!(cgroup_root(""), ["kubepods"]);
        assert_eq!(cgroup_root("/"), ["kubepods"]);
        assert_eq!(cgroup_root("/edge/site"), ["edge", "site", "kubepods"]);
    }
}
