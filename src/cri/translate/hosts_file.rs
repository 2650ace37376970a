//! The `/etc/hosts` that containers of a pod share.
//!
//! Rule: `ensureHostsFile` in the kubelet's `pkg/kubelet/kubelet_pods.go`. Writing the file is another room's work.

use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostAlias, Pod};

use super::error::TranslateError;
use super::host::Host;
use super::hostname::PodHostname;
use super::view::PodView;

/// Where containers see the file.
pub const ETC_HOSTS: &str = "/etc/hosts";

const LOCAL: &str = "# Kubernetes-managed hosts file.\n\
                     127.0.0.1\tlocalhost\n\
                     ::1\tlocalhost ip6-localhost ip6-loopback\n\
                     fe00::0\tip6-localnet\n\
                     fe00::0\tip6-mcastprefix\n\
                     fe00::1\tip6-allnodes\n\
                     fe00::2\tip6-allrouters\n";
const OF_NODE: &str = "# Kubernetes-managed hosts file (host network).\n";

/// What the file holds; `node_hosts` is the node's own `/etc/hosts`, used for pods in the node's network.
///
/// # Errors
/// The pod's host name is not usable.
pub fn content(pod: &Pod, ips: &[IpAddr], node_hosts: &str, host: &Host) -> Result<String, TranslateError> {
    let pod = PodView::of(pod)?;
    let mut text = if pod.host_network() {
        format!("{OF_NODE}{node_hosts}")
    } else {
        let name = PodHostname::of(&pod, &host.dns.cluster_domain)?;
        of_pod(ips, &name)
    };
    text.push_str(&aliases(pod.spec.host_aliases.as_deref().unwrap_or_default()));
    Ok(text)
}

/// Whether containers of the pod get the file at all: not before the pod has an address.
pub fn is_due(pod: &Pod, ips: &[IpAddr]) -> bool {
    let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or_default();
    host_network || !ips.is_empty()
}

fn of_pod(ips: &[IpAddr], name: &PodHostname) -> String {
    let mut text = LOCAL.to_owned();
    for ip in ips {
        let host = &name.host;
        let _ = if name.domain.is_empty() {
            writeln!(text, "{ip}\t{host}")
        } else {
            writeln!(text, "{ip}\t{host}.{}\t{host}", name.domain)
        };
    }
    text
}

fn aliases(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let mut text = "\n# Entries added by HostAliases.\n".to_owned();
    for HostAlias { ip, hostnames } in aliases {
        let names = hostnames.as_deref().unwrap_or_default().join("\t");
        let _ = writeln!(text, "{ip}\t{names}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pod, pod_spec};
    use super::*;

    #[test]
    fn a_pod_of_its_own_network_is_named_once_an_address() {
        let mut spec = pod_spec(Vec::new());
        spec.subdomain = Some("sub".to_owned());
        let ips = ["10.0.0.2".parse().unwrap(), "2001:db8::2".parse().unwrap()];
        let made = content(&pod(spec), &ips, "ignored", &Host::for_tests()).unwrap();
        assert_eq!(
            made.strip_prefix(LOCAL).unwrap(),
            "10.0.0.2\tp.sub.ns.svc.cluster.local\tp\n2001:db8::2\tp.sub.ns.svc.cluster.local\tp\n"
        );
        let made = content(&pod(pod_spec(Vec::new())), &ips[..1], "", &Host::for_tests()).unwrap();
        assert!(made.ends_with("fe00::2\tip6-allrouters\n10.0.0.2\tp\n"));
    }

    #[test]
    fn a_pod_in_the_nodes_network_has_the_nodes_names_and_its_aliases() {
        let mut spec = pod_spec(Vec::new());
        spec.host_network = Some(true);
        spec.host_aliases = serde_json::from_str(
            r#"[{"ip":"192.0.2.9","hostnames":["a","b.example"]},{"ip":"192.0.2.10","hostnames":["c"]}]"#,
        )
        .ok();
        let pod = pod(spec);
        let made = content(&pod, &[], "127.0.0.1 localhost\n", &Host::for_tests()).unwrap();
        assert_eq!(
            made,
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n\n# Entries added by HostAliases.\n\
             192.0.2.9\ta\tb.example\n192.0.2.10\tc\n"
        );
        assert!(is_due(&pod, &[]));
    }

    #[test]
    fn a_pod_without_an_address_has_no_file() {
        let pod = pod(pod_spec(Vec::new()));
        assert!(!is_due(&pod, &[]));
        assert!(is_due(&pod, &[IpAddr::from([10, 0, 0, 2])]));
    }
}
