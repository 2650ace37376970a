//! Which kernel settings a pod may change in its own namespaces, and how a sandbox's request names them.
//!
//! Rules: the kubelet's `pkg/kubelet/sysctl` (`safe_sysctls.go`, `allowlist.go`) and `NormalizeName` of
//! `component-helpers/node/util/sysctl`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Sysctl};
use thiserror::Error;

use super::error::TranslateError;
use super::host::{Host, KernelVersion};
use super::view::PodView;

/// Settings that are namespaced and harmless, with the kernel they appeared in.
const SAFE: [(&str, KernelVersion); 12] = [
    ("kernel.shm_rmid_forced", KernelVersion(0, 0)),
    ("net.ipv4.ip_local_port_range", KernelVersion(0, 0)),
    ("net.ipv4.tcp_syncookies", KernelVersion(0, 0)),
    ("net.ipv4.ping_group_range", KernelVersion(0, 0)),
    ("net.ipv4.ip_unprivileged_port_start", KernelVersion(0, 0)),
    ("net.ipv4.ip_local_reserved_ports", KernelVersion(3, 16)),
    ("net.ipv4.tcp_keepalive_time", KernelVersion(4, 5)),
    ("net.ipv4.tcp_fin_timeout", KernelVersion(4, 6)),
    ("net.ipv4.tcp_keepalive_intvl", KernelVersion(4, 5)),
    ("net.ipv4.tcp_keepalive_probes", KernelVersion(4, 5)),
    ("net.ipv4.tcp_rmem", KernelVersion(4, 15)),
    ("net.ipv4.tcp_wmem", KernelVersion(4, 15)),
];

/// Why a setting may not be changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SysctlCause {
    /// Neither safe nor allowed by the agent's configuration.
    #[error("{0:?} not allowlisted")]
    NotAllowed(String),
    /// It would change the node's network.
    #[error("{0:?} not allowed with host net enabled")]
    HostNetwork(String),
    /// It would change the node's IPC.
    #[error("{0:?} not allowed with host ipc enabled")]
    HostIpc(String),
}

/// Refuses a pod that changes a setting it may not change.
///
/// # Errors
/// The first such setting.
pub fn admit(pod: &Pod, host: &Host) -> Result<(), TranslateError> {
    let pod = PodView::of(pod)?;
    let host_ipc = pod.spec.host_ipc.unwrap_or_default();
    for Sysctl { name, .. } in sysctls(&pod) {
        let name = normal(name);
        if !is_allowed(&name, host) {
            return Err(SysctlCause::NotAllowed(name).into());
        }
        match namespace(&name) {
            Some(Namespace::Network) if pod.host_network() => {
                return Err(SysctlCause::HostNetwork(name).into());
            }
            Some(Namespace::Ipc) if host_ipc => return Err(SysctlCause::HostIpc(name).into()),
            _ => {}
        }
    }
    Ok(())
}

/// The settings as the request holds them.
pub(super) fn of_sandbox(pod: &PodView<'_>) -> BTreeMap<String, String> {
    sysctls(pod).map(|sysctl| (normal(&sysctl.name), sysctl.value.clone())).collect()
}

fn sysctls<'a>(pod: &PodView<'a>) -> impl Iterator<Item = &'a Sysctl> {
    pod.spec.security_context.iter().flat_map(|context| &context.sysctls).flatten()
}

/// The form with dots between the parts; a name written with slashes may hold dots within one (`net/ipv4/conf/eth0.1/…`).
fn normal(name: &str) -> String {
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'/') => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Network,
    Ipc,
}

fn namespace(name: &str) -> Option<Namespace> {
    let ipc = ["kernel.sem", "kernel.shm", "kernel.msg", "fs.mqueue."];
    if name.starts_with("net.") {
        Some(Namespace::Network)
    } else if ipc.iter().any(|prefix| name.starts_with(prefix)) {
        Some(Namespace::Ipc)
    } else {
        None
    }
}

fn is_allowed(name: &str, host: &Host) -> bool {
    let safe = SAFE.iter().any(|(safe, since)| *safe == name && *since <= host.kernel);
    safe || host.allowed_unsafe_sysctls.iter().any(|pattern| {
        let pattern = normal(pattern);
        pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pod, pod_spec};
    use super::*;
    use k8s_openapi::api::core::v1::PodSecurityContext;

    fn setting(name: &str) -> Pod {
        let sysctl = Sysctl { name: name.to_owned(), value: "1".to_owned() };
        let mut spec = pod_spec(Vec::new());
        spec.security_context =
            Some(PodSecurityContext { sysctls: Some(vec![sysctl]), ..PodSecurityContext::default() });
        pod(spec)
    }

    #[test]
    fn names_with_slashes_swap_them_for_dots() {
        for (name, expected) in [
            ("kernel.shm_rmid_forced", "kernel.shm_rmid_forced"),
            ("kernel/shm_rmid_forced", "kernel.shm_rmid_forced"),
            ("net.ipv4.conf.eno2/100.rp_filter", "net.ipv4.conf.eno2/100.rp_filter"),
            ("net/ipv4/conf/eno2.100/rp_filter", "net.ipv4.conf.eno2/100.rp_filter"),
            ("plain", "plain"),
        ] {
            assert_eq!(normal(name), expected);
        }
    }

    #[test]
    fn a_sandbox_has_the_values_that_are_set() {
        let pod = setting("net/ipv4/tcp_syncookies");
        let made = of_sandbox(&PodView::of(&pod).unwrap());
        assert_eq!(made, [("net.ipv4.tcp_syncookies".to_owned(), "1".to_owned())].into());
    }

    #[test]
    fn only_safe_or_allowed_settings_pass() {
        let host = Host {
            allowed_unsafe_sysctls: vec!["kernel.msg*".into(), "net.core.somaxconn".into()],
            ..Host::for_tests()
        };
        for name in ["kernel.shm_rmid_forced", "net/ipv4/tcp_rmem", "kernel.msgmax", "net.core.somaxconn"] {
            assert_eq!(admit(&setting(name), &host), Ok(()), "{name}");
        }
        let told = |name: &str, host: &Host| admit(&setting(name), host).unwrap_err().to_string();
        assert_eq!(told("vm.swappiness", &host), "forbidden sysctl: \"vm.swappiness\" not allowlisted");
        let old = Host { kernel: KernelVersion(4, 14), ..host };
        assert_eq!(
            told("net.ipv4.tcp_rmem", &old),
            "forbidden sysctl: \"net.ipv4.tcp_rmem\" not allowlisted"
        );
    }

    #[test]
    fn the_nodes_own_namespaces_are_out_of_reach() {
        let mut pod = setting("net.ipv4.tcp_syncookies");
        pod.spec.as_mut().unwrap().host_network = Some(true);
        assert_eq!(
            admit(&pod, &Host::for_tests()).unwrap_err().to_string(),
            "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled"
        );
        let mut pod = setting("kernel.shm_rmid_forced");
        pod.spec.as_mut().unwrap().host_ipc = Some(true);
        assert_eq!(
            admit(&pod, &Host::for_tests()).unwrap_err().to_string(),
            "forbidden sysctl: \"kernel.shm_rmid_forced\" not allowed with host ipc enabled"
        );
    }
}
