//! Kubernetes objects in tests: short manifests, and what is asked of pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// The manifest of a DaemonSet in the namespace `test`. `spec` is its pods' spec in YAML, at no indentation.
pub(crate) fn daemon_set(name: &str, spec: &str) -> String {
    let spec = spec.trim().replace('\n', "\n      ");
    format!(
        "apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {name}
  namespace: test
spec:
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      {spec}
"
    )
}

/// Whether this is a pod of that DaemonSet.
pub(crate) fn pod_of(pod: &Pod, daemon_set: &str) -> bool {
    let (namespace, name) = daemon_set.split_once('/').unwrap_or(("test", daemon_set));
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    pod.metadata.namespace.as_deref() == Some(namespace)
        && owners.iter().any(|owner| owner.kind == "DaemonSet" && owner.name == name)
}

/// Whether a pod is ready and not being deleted.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The ids of a pod's containers, init containers included, by name.
pub(crate) fn container_ids(pod: &Pod) -> BTreeMap<String, String> {
    let status = pod.status.clone().unwrap_or_default();
    let of = |statuses: Option<Vec<ContainerStatus>>| statuses.unwrap_or_default();
    let all = of(status.init_container_statuses).into_iter().chain(of(status.container_statuses));
    all.filter_map(|container| {
        let id = container.container_id?;
        Some((container.name, id.strip_prefix("containerd://").unwrap_or(&id).to_owned()))
    })
    .collect()
}
