//! A pod's addresses as its containers and its status see them.
//!
//! Rules: `sortPodIPs` and the host network case of `generateAPIPodStatus` in the kubelet's `pkg/kubelet/kubelet_pods.go`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

/// At most one address a family, that of the node's primary family first. A pod in the node's network has the node's.
pub fn pod_ips(pod: &Pod, from_runtime: &[IpAddr], node_ips: &[IpAddr]) -> Vec<IpAddr> {
    let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or_default();
    if host_network {
        return node_ips.to_vec();
    }
    let v6_first = node_ips.first().is_some_and(IpAddr::is_ipv6);
    let first_of = |v6: bool| from_runtime.iter().find(|ip| ip.is_ipv6() == v6).copied();
    first_of(v6_first).into_iter().chain(first_of(!v6_first)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pod, pod_spec};
    use super::*;

    #[test]
    fn one_address_a_family_and_the_nodes_family_first() {
        let of = |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let runtime = of(&["2001:db8::2", "10.0.0.2", "10.0.0.3"]);
        let mut node = of(&["192.0.2.1"]);
        let mut pod = pod(pod_spec(Vec::new()));
        assert_eq!(pod_ips(&pod, &runtime, &node), of(&["10.0.0.2", "2001:db8::2"]));
        node = of(&["2001:db8::1", "192.0.2.1"]);
        assert_eq!(pod_ips(&pod, &runtime, &node), of(&["2001:db8::2", "10.0.0.2"]));
        assert!(pod_ips(&pod, &[], &node).is_empty());
        pod.spec.as_mut().unwrap().host_network = Some(true);
        assert_eq!(pod_ips(&pod, &runtime, &node), node);
    }
}
