//! All about a pod.

use k8s_openapi::api::core::v1::{Event, Pod, PodSpec, PodStatus};
use k8s_openapi::jiff::Timestamp;

use super::description::{Description, time};
use super::{container, events, lists, volume};
use crate::api::table::since;

pub(super) fn describe(pod: &Pod, pod_events: &[Event], now: Timestamp) -> String {
    let (no_spec, no_status) = (PodSpec::default(), PodStatus::default());
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    let status = pod.status.as_ref().unwrap_or(&no_status);
    let mut description = Description::default();
    identity(&mut description, pod, spec, status);
    state(&mut description, pod, spec, status, now);
    let init_containers = spec.init_containers.as_deref().unwrap_or_default();
    if !init_containers.is_empty() {
        let known = status.init_container_statuses.as_deref().unwrap_or_default();
        container::describe(&mut description, 0, "Init Containers", init_containers, known, Some(pod));
    }
    let known = status.container_statuses.as_deref().unwrap_or_default();
    container::describe(&mut description, 0, "Containers", &spec.containers, known, Some(pod));
    conditions(&mut description, spec, status);
    volume::describe(&mut description, 0, spec.volumes.as_ref());
    description.field(0, "QoS Class", status.qos_class.as_deref().unwrap_or("<unset>"));
    lists::labels(&mut description, 0, "Node-Selectors", spec.node_selector.as_ref());
    lists::tolerations(&mut description, 0, spec.tolerations.as_ref());
    events::describe(&mut description, pod_events, now);
    description.finish()
}

fn identity(description: &mut Description, pod: &Pod, spec: &PodSpec, status: &PodStatus) {
    let metadata = &pod.metadata;
    description.field(0, "Name", metadata.name.as_deref().unwrap_or_default());
    description.field(0, "Namespace", metadata.namespace.as_deref().unwrap_or_default());
    if let Some(priority) = spec.priority {
        description.field(0, "Priority", priority);
    }
    description.some(0, "Priority Class Name", spec.priority_class_name.as_deref());
    description.some(0, "Runtime Class Name", spec.runtime_class_name.as_deref());
    description.some(0, "Service Account", spec.service_account_name.as_deref());
    match spec.node_name.as_deref() {
        None | Some("") => description.field(0, "Node", "<none>"),
        Some(node) => {
            let address = status.host_ip.as_deref().unwrap_or_default();
            description.field(0, "Node", format_args!("{node}/{address}"));
        }
    }
    if status.start_time.is_some() {
        description.field(0, "Start Time", time(status.start_time.as_ref()));
    }
    lists::labels(description, 0, "Labels", metadata.labels.as_ref());
    lists::annotations(description, 0, metadata.annotations.as_ref());
}

fn state(description: &mut Description, pod: &Pod, spec: &PodSpec, status: &PodStatus, now: Timestamp) {
    let phase = status.phase.as_deref().unwrap_or_default();
    match &pod.metadata.deletion_timestamp {
        Some(deleted) if phase != "Failed" && phase != "Succeeded" => {
            description.field(0, "Status", format_args!("Terminating (lasts {})", since(Some(deleted), now)));
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or_default();
            description.field(0, "Termination Grace Period", format_args!("{grace}s"));
        }
        _ => description.field(0, "Status", phase),
    }
    description.some(0, "Reason", status.reason.as_deref());
    description.some(0, "Message", status.message.as_deref());
    let seccomp = spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    if let Some(profile) = seccomp {
        description.field(0, "SeccompProfile", &profile.type_);
        description.some(0, "LocalhostProfile", profile.localhost_profile.as_deref());
    }
    description.field(0, "IP", status.pod_ip.as_deref().unwrap_or_default());
    match status.pod_ips.as_deref().unwrap_or_default() {
        [] => description.field(0, "IPs", "<none>"),
        addresses => {
            description.line(0, "IPs:");
            for address in addresses {
                description.field(1, "IP", &address.ip);
            }
        }
    }
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    if let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) {
        description.field(0, "Controlled By", format_args!("{}/{}", owner.kind, owner.name));
    }
    description.some(0, "NominatedNodeName", status.nominated_node_name.as_deref());
}

fn conditions(description: &mut Description, spec: &PodSpec, status: &PodStatus) {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let gates = spec.readiness_gates.as_deref().unwrap_or_default();
    if !gates.is_empty() {
        description.line(0, "Readiness Gates:");
        description.line(1, "Type\tStatus");
        for gate in gates {
            let condition = conditions.iter().find(|condition| condition.type_ == gate.condition_type);
            let state = condition.map_or("<none>", |condition| condition.status.as_str());
            description.line(1, format_args!("{} \t{state} ", gate.condition_type));
        }
    }
    if !conditions.is_empty() {
        description.line(0, "Conditions:");
        description.line(1, "Type\tStatus");
        for condition in conditions {
            description.line(1, format_args!("{} \t{} ", condition.type_, condition.status));
        }
    }
}
