//! The containers of a pod's spec, for those who only have a name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::Worker;

/// The containers of a pod by name, init containers among them.
pub(super) fn by_name(pod: &Pod) -> BTreeMap<&str, &Container> {
    let Some(spec) = &pod.spec else { return BTreeMap::new() };
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    all.map(|container| (container.name.as_str(), container)).collect()
}

impl Worker {
    pub(super) fn container(&self, name: &str) -> Option<&Container> {
        by_name(&self.record.pod).remove(name)
    }

    pub(super) fn is_init(&self, name: &str) -> bool {
        let init = self.record.pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref());
        init.unwrap_or_default().iter().any(|container| container.name == name)
    }
}
