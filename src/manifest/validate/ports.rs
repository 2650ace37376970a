//! Container ports and the node's ports they take. Rule: `validateContainerPorts`, `checkHostPortConflicts`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::error::{Errors, FieldError};
use super::names;
use super::pod_spec::Seen;
use crate::manifest::path::FieldPath;

pub(super) fn ports(container: &Container, path: &FieldPath, errors: &mut Errors) {
    let mut seen = Seen::default();
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let path = path.child("ports").index(index);
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let broken = names::port_name(name);
            let well_formed = broken.is_empty();
            errors.format(&path.child("name"), name, broken);
            if well_formed && seen.before(name) {
                errors.add(FieldError::duplicate(path.child("name"), name));
            }
        }
        if port.container_port == 0 {
            errors.required(path.child("containerPort"), "");
        } else {
            let broken = names::port_number(port.container_port);
            errors.format(&path.child("containerPort"), &port.container_port, broken);
        }
        if let Some(host_port) = port.host_port.filter(|port| *port != 0) {
            errors.format(&path.child("hostPort"), &host_port, names::port_number(host_port));
        }
        let protocol = port.protocol.as_deref().unwrap_or_default();
        if errors.present(path.child("protocol"), protocol) {
            errors.one_of(path.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]);
        }
    }
}

/// On the node's network a port has one number. The API server looks at init containers no more than this.
pub(super) fn same_on_the_host_network(spec: &PodSpec, path: &FieldPath, errors: &mut Errors) {
    if !spec.host_network.unwrap_or_default() {
        return;
    }
    for (index, container) in spec.containers.iter().enumerate() {
        let path = path.child("containers").index(index).child("ports");
        for (index, port) in container.ports.iter().flatten().enumerate() {
            if let Some(host_port) = port.host_port.filter(|it| *it != 0 && *it != port.container_port) {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.invalid(path.index(index).child("hostPort"), &host_port, detail);
            }
        }
    }
}

/// A port of the node is taken once: by one of all containers, and inside each init container.
pub(super) fn unique_host_ports(spec: &PodSpec, path: &FieldPath, errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    for (index, container) in spec.containers.iter().enumerate() {
        take(container, &path.child("containers").index(index), &mut taken, errors);
    }
    for container in spec.init_containers.iter().flatten() {
        // The API server looks at each init container alone, and calls each the first one.
        take(container, &path.child("initContainers").index(0), &mut BTreeSet::new(), errors);
    }
}

fn take(container: &Container, path: &FieldPath, taken: &mut BTreeSet<String>, errors: &mut Errors) {
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let Some(host_port) = port.host_port.filter(|port| *port != 0) else { continue };
        let protocol = port.protocol.as_deref().unwrap_or_default();
        let claim = format!("{protocol}/{}/{host_port}", port.host_ip.as_deref().unwrap_or_default());
        if taken.contains(&claim) {
            let path = path.child("ports").index(index).child("hostPort");
            errors.add(FieldError::duplicate(path, &claim));
        } else {
            taken.insert(claim);
        }
    }
}
