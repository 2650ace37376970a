//! Containers and init containers. Rule: `validateContainers`, `validateInitContainers` in `core/validation`.

use k8s_openapi::api::core::v1::Container;

use super::error::{Errors, FieldError};
use super::pod_spec::{Pod, Seen};
use super::{env, mounts, names, ports, probes, resources, security};
use crate::manifest::path::FieldPath;

/// All containers of a pod; `path` is the pod specification's.
pub(super) fn containers(pod: &Pod<'_>, path: &FieldPath, errors: &mut Errors) {
    let mut seen = Seen::default();
    if pod.spec.containers.is_empty() {
        errors.required(path.child("containers"), "");
    }
    for (index, container) in pod.spec.containers.iter().enumerate() {
        let path = path.child("containers").index(index);
        common(container, pod, &path, errors);
        unique(container, &mut seen, &path, errors);
        if container.restart_policy.is_some() {
            errors.forbidden(path.child("restartPolicy"), "may not be set for non-init containers");
        }
        probes::of_container(container, pod, &path, errors);
    }
    for (index, container) in pod.spec.init_containers.iter().flatten().enumerate() {
        let path = path.child("initContainers").index(index);
        common(container, pod, &path, errors);
        unique(container, &mut seen, &path, errors);
        match container.restart_policy.as_deref() {
            Some("Always") => probes::of_container(container, pod, &path, errors),
            Some(other) => {
                errors.one_of(path.child("restartPolicy"), other, &["Always"]);
                only_sidecars(container, &path, errors);
            }
            None => only_sidecars(container, &path, errors),
        }
    }
}

fn unique<'a>(container: &'a Container, seen: &mut Seen<'a>, path: &FieldPath, errors: &mut Errors) {
    if seen.before(&container.name) {
        errors.add(FieldError::duplicate(path.child("name"), &container.name));
    }
}

/// What an init container that ends by itself can't have.
fn only_sidecars(container: &Container, path: &FieldPath, errors: &mut Errors) {
    for (field, present) in [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ] {
        if present {
            errors.forbidden(
                path.child(field),
                "may not be set for init containers without restartPolicy=Always",
            );
        }
    }
}

fn common(container: &Container, pod: &Pod<'_>, path: &FieldPath, errors: &mut Errors) {
    if errors.present(path.child("name"), &container.name) {
        errors.format(&path.child("name"), &container.name, names::dns_label(&container.name));
    }
    errors.present(path.child("image"), container.image.as_deref().unwrap_or_default());
    let pull_policy = container.image_pull_policy.as_deref().unwrap_or_default();
    errors.one_of(path.child("imagePullPolicy"), pull_policy, &["Always", "IfNotPresent", "Never"]);
    let message_policy = container.termination_message_policy.as_deref().unwrap_or_default();
    errors.one_of(path.child("terminationMessagePolicy"), message_policy, &["File", "FallbackToLogsOnError"]);
    if let Some(signal) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref())
        && !names::is_signal(signal)
    {
        errors.add(FieldError::not_supported(path.child("lifecycle.stopSignal"), signal, &[]));
    }
    ports::ports(container, path, errors);
    env::env(container, path, errors);
    mounts::mounts(container, pod, path, errors);
    if let Some(requirements) = &container.resources {
        resources::requirements(requirements, &path.child("resources"), errors);
    }
    if let Some(context) = &container.security_context {
        security::security_context(context, pod.spec, &path.child("securityContext"), errors);
    }
}
