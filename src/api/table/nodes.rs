//! The row of a node.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;

use super::cell::or_none;
use super::{Cell, Column, since};

pub(super) const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Status", "Whether the node is ready, and whether it takes new pods."),
    Column::text("Roles", "The node's roles, by its labels."),
    Column::AGE,
    Column::text("Version", "The version of the node's agent."),
    Column::text("Internal-IP", "The node's address inside its network.").wide(),
    Column::text("External-IP", "The node's address from outside.").wide(),
    Column::text("OS-Image", "The node's operating system.").wide(),
    Column::text("Kernel-Version", "The node's kernel.").wide(),
    Column::text("Container-Runtime", "The node's container runtime.").wide(),
];

pub(super) fn cells(node: &Node, now: Timestamp) -> Vec<Cell> {
    let status = node.status.as_ref();
    let info = status.and_then(|status| status.node_info.as_ref());
    let address = |kind: &str| {
        let addresses = status.and_then(|status| status.addresses.as_deref()).unwrap_or_default();
        or_none(
            addresses.iter().find(|address| address.type_ == kind).map(|address| address.address.as_str()),
        )
    };
    let known = |text: Option<&String>| {
        text.filter(|text| !text.is_empty()).map_or_else(|| "<unknown>".to_owned(), Clone::clone)
    };
    let roles = roles(node);
    vec![
        node.metadata.name.as_deref().unwrap_or_default().into(),
        readiness(node).into(),
        if roles.is_empty() { "<none>".into() } else { roles.join(",").into() },
        since(node.metadata.creation_timestamp.as_ref(), now).into(),
        info.map(|info| info.kubelet_version.as_str()).unwrap_or_default().into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        known(info.map(|info| &info.os_image)).into(),
        known(info.map(|info| &info.kernel_version)).into(),
        known(info.map(|info| &info.container_runtime_version)).into(),
    ]
}

fn readiness(node: &Node) -> String {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = match conditions.iter().find(|condition| condition.type_ == "Ready") {
        Some(condition) if condition.status == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default() {
        format!("{ready},SchedulingDisabled")
    } else {
        ready.to_owned()
    }
}

/// The node's roles, sorted: what follows `node-role.kubernetes.io/`, and the value of `kubernetes.io/role`.
pub fn roles(node: &Node) -> Vec<&str> {
    let labels = node.metadata.labels.iter().flatten();
    let roles: BTreeSet<&str> = labels
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => Some(value),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(node: Value) -> Vec<Cell> {
        cells(&serde_json::from_value(node).unwrap(), "2024-01-02T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_node_is_shown_with_its_addresses_and_versions() {
        let node = json!({
            "metadata": {
                "name": "n", "creationTimestamp": "2024-01-01T00:00:00Z",
                "labels": {
                    "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/edge": "", "kubernetes.io/role": "old",
                },
            },
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.7"}],
                "nodeInfo": {
                    "kubeletVersion": "v1", "osImage": "Debian", "kernelVersion": "6.1", "containerRuntimeVersion": "",
                    "architecture": "", "bootID": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "",
                    "systemUUID": "",
                },
            },
        });
        let expected = [
            "n",
            "Ready",
            "edge,old,worker",
            "24h",
            "v1",
            "10.0.0.7",
            "<none>",
            "Debian",
            "6.1",
            "<unknown>",
        ];
        assert_eq!(shown(node), expected.map(Cell::from));
        assert_eq!(expected.len(), COLUMNS.len());
    }

    #[test]
    fn a_nodes_status_is_its_readiness_and_whether_it_is_cordoned() {
        for (conditions, unschedulable, status) in [
            (json!([]), false, "Unknown"),
            (json!([{"type": "Ready", "status": "Unknown"}]), false, "NotReady"),
            (json!([{"type": "Ready", "status": "False"}]), true, "NotReady,SchedulingDisabled"),
            (json!([{"type": "Ready", "status": "True"}]), true, "Ready,SchedulingDisabled"),
        ] {
            let node =
                json!({"spec": {"unschedulable": unschedulable}, "status": {"conditions": conditions}});
            assert_eq!(shown(node)[1], Cell::from(status));
        }
    }
}
