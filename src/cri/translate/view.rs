//! What nearly every rule reads of a Pod: its identity and its spec, known to be there.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::error::TranslateError;

/// A pod whose identity is complete.
#[derive(Debug, Clone, Copy)]
pub(super) struct PodView<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) uid: &'a str,
    pub(super) labels: Option<&'a BTreeMap<String, String>>,
    pub(super) annotations: Option<&'a BTreeMap<String, String>>,
    pub(super) deletion_grace_seconds: Option<i64>,
    pub(super) spec: &'a PodSpec,
}

impl<'a> PodView<'a> {
    pub(super) fn of(pod: &'a Pod) -> Result<Self, TranslateError> {
        let metadata = &pod.metadata;
        let present = |field: &'static str, value: &'a Option<String>| {
            value.as_deref().filter(|value| !value.is_empty()).ok_or(TranslateError::Incomplete { field })
        };
        Ok(Self {
            name: present("metadata.name", &metadata.name)?,
            namespace: present("metadata.namespace", &metadata.namespace)?,
            uid: present("metadata.uid", &metadata.uid)?,
            labels: metadata.labels.as_ref(),
            annotations: metadata.annotations.as_ref(),
            deletion_grace_seconds: metadata.deletion_grace_period_seconds,
            spec: pod.spec.as_ref().ok_or(TranslateError::Incomplete { field: "spec" })?,
        })
    }

    /// `name_namespace(uid)`, as the kubelet's messages name a pod.
    pub(super) fn id(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }

    pub(super) fn host_network(&self) -> bool {
        self.spec.host_network.unwrap_or_default()
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&'a str> {
        self.annotations?.get(key).map(String::as_str)
    }

    /// Regular containers, then init containers.
    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Container> {
        self.spec.containers.iter().chain(init_containers(self.spec))
    }

    #[cfg(test)]
    pub(super) fn for_tests(name: &'a str, namespace: &'a str, spec: &'a PodSpec) -> Self {
        Self {
            name,
            namespace,
            uid: "uid-1",
            labels: None,
            annotations: None,
            deletion_grace_seconds: None,
            spec,
        }
    }
}

/// The init containers, none if the field is not there.
pub(super) fn init_containers(spec: &PodSpec) -> &[Container] {
    spec.init_containers.as_deref().unwrap_or_default()
}

/// Whether an init container is one that keeps running beside the regular ones (KEP-753).
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}
