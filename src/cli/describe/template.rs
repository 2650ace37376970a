//! A pod template: part of a DaemonSet, or one of its revisions by itself.

use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::description::Description;
use super::{container, lists, volume};

/// The template alone. Its tabs stay, as kubectl leaves them where it shows a revision.
pub(in crate::cli) fn with_tabs(template: &PodTemplateSpec) -> String {
    let mut description = Description::default();
    describe(&mut description, template);
    description.with_tabs()
}

pub(super) fn describe(description: &mut Description, template: &PodTemplateSpec) {
    let metadata = template.metadata.clone().unwrap_or_default();
    let spec = template.spec.clone().unwrap_or_default();
    description.line(0, "Pod Template:");
    lists::labels(description, 1, "Labels", metadata.labels.as_ref());
    if metadata.annotations.as_ref().is_some_and(|annotations| !annotations.is_empty()) {
        lists::annotations(description, 1, metadata.annotations.as_ref());
    }
    description.some(1, "Service Account", spec.service_account_name.as_deref());
    let init_containers = spec.init_containers.as_deref().unwrap_or_default();
    if !init_containers.is_empty() {
        container::describe(description, 1, "Init Containers", init_containers, &[], None);
    }
    container::describe(description, 1, "Containers", &spec.containers, &[], None);
    volume::describe(description, 1, spec.volumes.as_ref());
    description.some(1, "Priority Class Name", spec.priority_class_name.as_deref());
    lists::labels(description, 1, "Node-Selectors", spec.node_selector.as_ref());
    lists::tolerations(description, 1, spec.tolerations.as_ref());
}
