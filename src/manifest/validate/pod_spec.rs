//! A pod's specification as a template holds it. Rule: `ValidatePodSpec` in `core/validation`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{HostAlias, PodSpec};

use super::error::Errors;
use super::{
    affinity, container, dns, metadata, names, pod_security, ports, resources, tolerations, topology, volumes,
};
use crate::manifest::path::FieldPath;

/// What a container must know of the pod it is in.
pub(super) struct Pod<'a> {
    pub(super) spec: &'a PodSpec,
    /// The names of the volumes that may be mounted, with whether it is an image's.
    pub(super) volumes: Vec<(&'a str, bool)>,
}

impl Pod<'_> {
    pub(super) fn grace_seconds(&self) -> i64 {
        self.spec.termination_grace_period_seconds.unwrap_or(30)
    }
}

pub(super) fn pod_spec(spec: &PodSpec, path: &FieldPath, errors: &mut Errors) {
    let volumes =
        volumes::volumes(spec.volumes.as_deref().unwrap_or_default(), &path.child("volumes"), errors);
    let pod = Pod { spec, volumes };
    container::containers(&pod, path, errors);
    ports::unique_host_ports(spec, path, errors);
    ports::same_on_the_host_network(spec, path, errors);
    if spec.termination_grace_period_seconds.is_none() {
        errors.required(path.child("terminationGracePeriodSeconds"), "");
    }
    dns::dns(spec, path, errors);
    pod_security::pod_security(spec, path, errors);
    scheduling(spec, path, errors);
    identity(spec, path, errors);
    for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
        host_alias(alias, &path.child("hostAliases").index(index), errors);
    }
    if let Some(overhead) = &spec.overhead {
        resources::amounts(overhead, &path.child("overhead"), errors);
    }
    if let Some(requirements) = &spec.resources {
        resources::requirements(requirements, &path.child("resources"), errors);
    }
}

fn scheduling(spec: &PodSpec, path: &FieldPath, errors: &mut Errors) {
    metadata::labels(spec.node_selector.as_ref(), &path.child("nodeSelector"), errors);
    if let Some(found) = &spec.affinity {
        affinity::affinity(found, &path.child("affinity"), errors);
    }
    for (index, toleration) in spec.tolerations.iter().flatten().enumerate() {
        tolerations::toleration(toleration, &path.child("tolerations").index(index), errors);
    }
    topology::spread(spec, path, errors);
    for (index, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = path.child("readinessGates").index(index).child("conditionType");
        errors.format(&path, &gate.condition_type, names::qualified_name(&gate.condition_type));
    }
    for (index, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        let path = path.child("schedulingGates").index(index).child("name");
        errors.format(&path, &gate.name, names::qualified_name(&gate.name));
    }
    if let Some(policy) = &spec.preemption_policy {
        errors.one_of(path.child("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    }
}

/// The names a pod is given or refers to.
fn identity(spec: &PodSpec, path: &FieldPath, errors: &mut Errors) {
    let subdomains = [
        ("nodeName", &spec.node_name),
        ("serviceAccountName", &spec.service_account_name),
        ("priorityClassName", &spec.priority_class_name),
        ("runtimeClassName", &spec.runtime_class_name),
        ("hostnameOverride", &spec.hostname_override),
    ];
    for (field, value) in subdomains {
        // Of these the API server looks at an empty runtime class alone.
        if let Some(name) = value.as_deref().filter(|name| !name.is_empty() || field == "runtimeClassName") {
            errors.format(&path.child(field), name, names::dns_subdomain(name));
        }
    }
    for (field, value) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if let Some(name) = value.as_deref().filter(|name| !name.is_empty()) {
            errors.format(&path.child(field), name, names::dns_label(name));
        }
    }
    if let Some(os) = &spec.os {
        let path = path.child("os.name");
        if errors.present(path.clone(), &os.name) {
            errors.one_of(path, &os.name, &["linux", "windows"]);
        }
    }
}

fn host_alias(alias: &HostAlias, path: &FieldPath, errors: &mut Errors) {
    errors.format(&path.child("ip"), &alias.ip, names::ip_address(&alias.ip));
    for (index, name) in alias.hostnames.iter().flatten().enumerate() {
        errors.format(&path.child("hostnames").index(index), name, names::dns_subdomain(name));
    }
}

/// Remembers names; tells whether one was seen before.
#[derive(Default)]
pub(super) struct Seen<'a>(BTreeSet<&'a str>);

impl<'a> Seen<'a> {
    pub(super) fn before(&mut self, name: &'a str) -> bool {
        !name.is_empty() && !self.0.insert(name)
    }
}
