//! A pod's sandbox as the runtime is asked for it.
//!
//! Rule: `generatePodSandboxConfig` in the kubelet's `pkg/kubelet/kuberuntime/kuberuntime_sandbox.go`. The same configuration goes
//! with every `CreateContainer` in the sandbox.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use super::cgroup_parent::cgroup_parent;
use super::dns::dns_config;
use super::error::TranslateError;
use super::host::{Host, UserNamespaceRange};
use super::hostname::PodHostname;
use super::namespaces::check_users;
use super::ports::port_mappings;
use super::qos::QosClass;
use super::view::PodView;
use super::warning::Warning;
use super::{apparmor, labels, resources, security, sysctl};
use crate::cri::proto::{LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata};

/// What is known of a sandbox before it is asked for.
#[derive(Debug, Clone)]
pub struct SandboxInputs<'a> {
    /// How many sandboxes the pod had before.
    pub attempt: u32,
    /// The runtime handler of the pod's class, as [`super::runtime_class::runtime_handler`] found it.
    pub runtime_handler: &'a str,
    /// The pod's user IDs, if it has its own.
    pub users: Option<UserNamespaceRange>,
    /// Labels of the agent's own.
    pub marks: &'a BTreeMap<String, String>,
}

/// A sandbox ready to be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct SandboxPlan {
    /// What `RunPodSandbox` is asked for.
    pub config: PodSandboxConfig,
    /// The runtime handler to run it with.
    pub runtime_handler: String,
    /// What the pod's user should hear.
    pub warnings: Vec<Warning>,
}

/// What `RunPodSandbox` is asked for.
///
/// # Errors
/// The pod is not admitted to this node or can't run as it is described; [`TranslateError::sandbox_reason`] says which.
pub fn sandbox_config(
    pod: &Pod,
    inputs: &SandboxInputs<'_>,
    host: &Host,
) -> Result<SandboxPlan, TranslateError> {
    sysctl::admit(pod, host)?;
    apparmor::admit(pod, host)?;
    let class = QosClass::of(pod)?;
    let view = PodView::of(pod)?;
    let spec = view.spec;
    check_users(spec, inputs.runtime_handler, inputs.users, host)?;
    security::check_groups(spec, host)?;
    let (dns, warnings) = dns_config(&view, &host.dns, &host.node_ips);
    let hostname = if view.host_network() {
        String::new()
    } else {
        let as_fqdn = spec.set_hostname_as_fqdn.unwrap_or_default();
        PodHostname::of(&view, &host.dns.cluster_domain)?.for_kernel(as_fqdn)?
    };
    let config = PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: view.name.to_owned(),
            uid: view.uid.to_owned(),
            namespace: view.namespace.to_owned(),
            attempt: inputs.attempt,
        }),
        hostname,
        log_directory: log_directory(&view, host),
        dns_config: Some(dns),
        port_mappings: port_mappings(spec),
        labels: labels::of_sandbox(&view, inputs.marks),
        annotations: view.annotations.cloned().unwrap_or_default(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: cgroup_parent(&host.cgroups, class, view.uid),
            security_context: Some(security::of_sandbox(&view, inputs.users)?),
            sysctls: sysctl::of_sandbox(&view),
            overhead: Some(resources::of_overhead(spec, host)),
            resources: Some(resources::of_sandbox(spec, host)),
        }),
    };
    Ok(SandboxPlan { config, runtime_handler: inputs.runtime_handler.to_owned(), warnings })
}

fn log_directory(pod: &PodView<'_>, host: &Host) -> String {
    let name = format!("{}_{}_{}", pod.namespace, pod.name, pod.uid);
    host.pod_logs_dir.join(name).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::super::testing;
    use super::*;
    use k8s_openapi::api::core::v1::{PodSecurityContext, PodSpec};

    fn planned(change: impl FnOnce(&mut PodSpec), host: &Host) -> Result<SandboxPlan, TranslateError> {
        let mut spec = testing::pod_spec(vec![testing::container("c", "{}")]);
        spec.security_context = Some(PodSecurityContext::default());
        change(&mut spec);
        let marks = BTreeMap::from([("daemonlet.dev/mark".to_owned(), "1".to_owned())]);
        let inputs = SandboxInputs { attempt: 2, runtime_handler: "kata", users: None, marks: &marks };
        sandbox_config(&testing::pod(spec), &inputs, host)
    }

    #[test]
    fn a_sandbox_carries_identity_place_and_marks() {
        let plan = planned(|spec| spec.dns_policy = Some("None".to_owned()), &Host::for_tests()).unwrap();
        assert_eq!((plan.runtime_handler.as_str(), plan.warnings.len()), ("kata", 0));
        let config = plan.config;
        let metadata = config.metadata.unwrap();
        assert_eq!((metadata.name.as_str(), metadata.uid.as_str(), metadata.attempt), ("p", "uid-1", 2));
        assert_eq!(
            (config.hostname.as_str(), config.log_directory.as_str()),
            ("p", "/var/log/pods/ns_p_uid-1")
        );
        assert_eq!(config.labels["daemonlet.dev/mark"], "1");
        assert_eq!(config.dns_config, Some(crate::cri::proto::DnsConfig::default()));
        let linux = config.linux.unwrap();
        assert_eq!(linux.cgroup_parent, "/kubepods/besteffort/poduid-1");
        assert!(linux.overhead.is_some() && linux.resources.is_some());
    }

    #[test]
    fn the_kernel_has_the_whole_name_if_the_pod_asks_for_it() {
        let named = |as_fqdn| {
            move |spec: &mut PodSpec| {
                spec.subdomain = Some("sub".to_owned());
                spec.set_hostname_as_fqdn = Some(as_fqdn);
            }
        };
        let hostname = |as_fqdn| planned(named(as_fqdn), &Host::for_tests()).unwrap().config.hostname;
        assert_eq!(hostname(false), "p");
        assert!(hostname(true).starts_with("p.sub.ns.svc."), "{}", hostname(true));
    }

    #[test]
    fn the_nodes_network_has_the_nodes_name() {
        let plan = planned(|spec| spec.host_network = Some(true), &Host::for_tests()).unwrap();
        assert_eq!(plan.config.hostname, "");
    }

    #[test]
    fn what_falls_back_is_told() {
        let mut host = Host::for_tests();
        host.dns.cluster_dns.clear();
        let plan = planned(|spec| spec.dns_policy = Some("ClusterFirst".to_owned()), &host).unwrap();
        assert_eq!(plan.warnings[0].reason, "MissingClusterDNS");
    }

    #[test]
    fn a_pod_is_refused_for_good_or_waits() {
        let forbidden = |spec: &mut PodSpec| {
            spec.security_context = serde_json::from_str(r#"{"sysctls":[{"name":"vm.x","value":"1"}]}"#).ok();
        };
        let reason = |told: TranslateError| (told.sandbox_reason(), told.sandbox_reason().is_final());
        let host = Host::for_tests();
        assert_eq!(reason(planned(forbidden, &host).unwrap_err()), (Reason::SysctlForbidden, true));
        let mut old_runtime = Host::for_tests();
        old_runtime.strict_groups = false;
        for (policy, refused) in [("Merge", false), ("Strict", true)] {
            let grouped = |spec: &mut PodSpec| {
                let context = PodSecurityContext {
                    supplemental_groups_policy: Some(policy.to_owned()),
                    ..Default::default()
                };
                spec.security_context = Some(context);
            };
            let expected = refused.then_some((Reason::SupplementalGroupsPolicyNotSupported, true));
            assert_eq!(planned(grouped, &old_runtime).err().map(reason), expected, "{policy}");
            assert!(planned(grouped, &host).is_ok(), "{policy}");
        }
        let misnamed = |spec: &mut PodSpec| spec.hostname = Some("A".to_owned());
        assert_eq!(reason(planned(misnamed, &host).unwrap_err()), (Reason::CreatePodSandboxError, false));
    }
}
