//! Objects without a namespace, and revisions: Node, Namespace, PriorityClass, RuntimeClass, ControllerRevision.

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::scheduling::v1::PriorityClass;

use super::error::Errors;
use super::{metadata, names, resources, tolerations};
use crate::manifest::path::FieldPath;

/// The highest priority that is not the system's own.
const MAX_USER_PRIORITY: i32 = 1_000_000_000;

pub(super) fn node(node: &Node, errors: &mut Errors) {
    metadata::common(&node.metadata, names::dns_subdomain, errors);
    if let Some(taints) = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()) {
        tolerations::taints(taints, errors);
    }
}

pub(super) fn namespace(namespace: &Namespace, errors: &mut Errors) {
    metadata::common(&namespace.metadata, names::dns_label, errors);
}

pub(super) fn priority_class(class: &PriorityClass, errors: &mut Errors) {
    metadata::common(&class.metadata, names::dns_subdomain, errors);
    let name = class.metadata.name.as_deref().unwrap_or_default();
    if name.starts_with("system-") {
        let known = matches!(
            (name, class.value),
            ("system-node-critical", 2_000_001_000) | ("system-cluster-critical", 2_000_000_000)
        );
        if !known {
            errors.forbidden(
                FieldPath::new("metadata.name"),
                "priority class names with 'system-' prefix are reserved for system use only",
            );
        }
    } else if class.value > MAX_USER_PRIORITY {
        let detail = format!("maximum allowed value of a user defined priority is {MAX_USER_PRIORITY}");
        errors.forbidden(FieldPath::new("value"), &detail);
    }
    let policy = class.preemption_policy.as_deref().unwrap_or_default();
    errors.one_of(FieldPath::new("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
}

pub(super) fn runtime_class(class: &RuntimeClass, errors: &mut Errors) {
    metadata::common(&class.metadata, names::dns_subdomain, errors);
    let path = FieldPath::new("handler");
    errors.format(&path, &class.handler, names::dns_label(&class.handler));
    if let Some(fixed) = class.overhead.as_ref().and_then(|overhead| overhead.pod_fixed.as_ref()) {
        resources::amounts(fixed, &FieldPath::new("overhead.podFixed"), errors);
    }
    if let Some(scheduling) = &class.scheduling {
        let path = FieldPath::new("scheduling");
        metadata::labels(scheduling.node_selector.as_ref(), &path.child("nodeSelector"), errors);
        for (index, toleration) in scheduling.tolerations.iter().flatten().enumerate() {
            tolerations::toleration(toleration, &path.child("tolerations").index(index), errors);
        }
    }
}

pub(super) fn controller_revision(revision: &ControllerRevision, errors: &mut Errors) {
    metadata::common(&revision.metadata, names::dns_subdomain, errors);
    errors.not_negative(FieldPath::new("revision"), Some(revision.revision));
    if revision.data.is_none() {
        errors.required(FieldPath::new("data"), "data is mandatory");
    }
}
