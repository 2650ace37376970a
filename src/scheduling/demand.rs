//! What a pod takes of the node: the resources it requests and its host ports.
//!
//! Limits and actual use play no part. Rules: `computePodResourceRequest` in `noderesources/fit.go`, `getContainerPorts` in
//! `nodeports/node_ports.go` (with the sidecars, as later releases have it).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::HostPort;
use crate::cri::translate::pod_resources::{Overhead, pod_requests};

/// What a pod takes of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// By resource name: CPU in thousandths, anything else in whole units. Never 0.
    pub(super) amounts: BTreeMap<String, i64>,
    pub(super) ports: Vec<HostPort>,
}

impl Demand {
    /// What a pod with this spec takes. Defaults must be filled in: they open host ports and request what is limited.
    pub fn of(spec: &PodSpec) -> Self {
        let requests = pod_requests(spec, Overhead::Counted);
        let amounts = requests.iter().map(|(name, whole)| {
            let amount = if name == "cpu" { requests.milli(name).unwrap_or_default() } else { whole };
            (name.to_owned(), amount)
        });
        let amounts = amounts.filter(|(_, amount)| *amount > 0).collect();
        let sidecars = spec.init_containers.iter().flatten().filter(|it| is_sidecar(it));
        let ports = spec.containers.iter().chain(sidecars).flat_map(|it| it.ports.iter().flatten());
        Self { amounts, ports: ports.filter_map(HostPort::of).collect() }
    }
}

fn is_sidecar(init_container: &Container) -> bool {
    init_container.restart_policy.as_deref() == Some("Always")
}
