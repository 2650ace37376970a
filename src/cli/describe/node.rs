//! All about the node, and what its pods have asked for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Event, Node, NodeStatus, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::Timestamp;

use super::description::{Description, time};
use super::resources::{Amount, PodAmounts};
use super::{events, lists};
use crate::api::table::{node_roles, since};

/// What every node has, and every container may ask for.
const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

pub(super) fn describe(node: &Node, pods: &[Pod], node_events: &[Event], now: Timestamp) -> String {
    let metadata = &node.metadata;
    let spec = node.spec.clone().unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    let roles = node_roles(node).join(",");
    let mut description = Description::default();
    description.field(0, "Name", metadata.name.as_deref().unwrap_or_default());
    description.field(0, "Roles", if roles.is_empty() { "<none>" } else { &roles });
    lists::labels(&mut description, 0, "Labels", metadata.labels.as_ref());
    lists::annotations(&mut description, 0, metadata.annotations.as_ref());
    description.field(0, "CreationTimestamp", time(metadata.creation_timestamp.as_ref()));
    lists::taints(&mut description, spec.taints.as_ref());
    description.field(0, "Unschedulable", spec.unschedulable.unwrap_or_default());
    conditions(&mut description, &status);
    description.line(0, "Addresses:");
    for address in status.addresses.iter().flatten() {
        description.field(1, &address.type_, &address.address);
    }
    amounts(&mut description, "Capacity", status.capacity.as_ref());
    amounts(&mut description, "Allocatable", status.allocatable.as_ref());
    system(&mut description, &status);
    description.some(0, "PodCIDR", spec.pod_cidr.as_deref());
    let ranges = spec.pod_cidrs.unwrap_or_default().join(",");
    description.some(0, "PodCIDRs", Some(&ranges));
    description.some(0, "ProviderID", spec.provider_id.as_deref());
    let allocatable = status.allocatable.as_ref().or(status.capacity.as_ref()).cloned().unwrap_or_default();
    allocated(&mut description, &allocatable, pods, now);
    events::describe(&mut description, node_events, now);
    description.finish()
}

fn conditions(description: &mut Description, status: &NodeStatus) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    description.conditions(
        ["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"],
        status.conditions.iter().flatten().map(|it| {
            [
                it.type_.clone(),
                it.status.clone(),
                time(it.last_heartbeat_time.as_ref()),
                time(it.last_transition_time.as_ref()),
                text(&it.reason),
                text(&it.message),
            ]
        }),
    );
}

fn amounts(description: &mut Description, title: &str, amounts: Option<&BTreeMap<String, Quantity>>) {
    let Some(amounts) = amounts.filter(|amounts| !amounts.is_empty()) else { return };
    description.line(0, format_args!("{title}:"));
    for (name, quantity) in amounts {
        description.field(1, name, &quantity.0);
    }
}

fn system(description: &mut Description, status: &NodeStatus) {
    let info = status.node_info.clone().unwrap_or_default();
    description.line(0, "System Info:");
    for (name, value) in [
        ("Machine ID", info.machine_id),
        ("System UUID", info.system_uuid),
        ("Boot ID", info.boot_id),
        ("Kernel Version", info.kernel_version),
        ("OS Image", info.os_image),
        ("Operating System", info.operating_system),
        ("Architecture", info.architecture),
        ("Container Runtime Version", info.container_runtime_version),
        ("Kubelet Version", info.kubelet_version),
    ] {
        description.field(1, name, value);
    }
}

fn allocated(
    description: &mut Description,
    allocatable: &BTreeMap<String, Quantity>,
    pods: &[Pod],
    now: Timestamp,
) {
    let share = |name: &str, amount: &Amount| {
        let whole = allocatable.get(name).map(|quantity| Amount::of(&quantity.0)).unwrap_or_default();
        format!("{amount} ({}%)", amount.percent_of(&whole))
    };
    description.field(0, "Non-terminated Pods", format_args!("({} in total)", pods.len()));
    description.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    description.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    let mut total = PodAmounts::default();
    for pod in pods {
        let of = PodAmounts::of(pod);
        description.line(
            1,
            format_args!(
                "{}\t{}\t\t{}\t{}\t{}\t{}\t{}",
                pod.metadata.namespace.as_deref().unwrap_or_default(),
                pod.metadata.name.as_deref().unwrap_or_default(),
                share("cpu", &of.request("cpu")),
                share("cpu", &of.limit("cpu")),
                share("memory", &of.request("memory")),
                share("memory", &of.limit("memory")),
                since(pod.metadata.creation_timestamp.as_ref(), now),
            ),
        );
        total.add(&of);
    }
    description.line(0, "Allocated resources:");
    description.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    description.line(1, "Resource\tRequests\tLimits");
    description.line(1, "--------\t--------\t------");
    let is_extended =
        |name: &&str| !STANDARD.contains(name) && *name != "pods" && !name.starts_with("hugepages-");
    let huge_pages = allocatable.keys().map(String::as_str).filter(|name| name.starts_with("hugepages-"));
    for name in STANDARD.into_iter().chain(huge_pages) {
        let (request, limit) = (share(name, &total.request(name)), share(name, &total.limit(name)));
        description.line(1, format_args!("{name}\t{request}\t{limit}"));
    }
    for name in allocatable.keys().map(String::as_str).filter(is_extended) {
        description.line(1, format_args!("{name}\t{}\t{}", total.request(name), total.limit(name)));
    }
}
