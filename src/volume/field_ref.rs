//! The values that `fieldRef` and `resourceFieldRef` name in volumes: the downward API's, of which files may name less than variables.
//! Rules: `pkg/fieldpath`, `pkg/api/v1/resource`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::cri::translate::TranslateError;
use crate::cri::translate::downward::{metadata_value, resource_value};

/// A reference that has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum FieldRefError {
    #[error("unsupported fieldPath: {0}")]
    FieldPath(String),
    #[error(transparent)]
    Resource(#[from] TranslateError),
}

/// The value of a field of the pod. Volumes may name its metadata only.
pub(super) fn field(pod: &Pod, path: &str) -> Result<String, FieldRefError> {
    metadata_value(&pod.metadata, path).ok_or_else(|| FieldRefError::FieldPath(path.to_owned()))
}

/// The value of a container's request or limit in units of the divisor, rounded up. The container must be named.
pub(super) fn resource(
    pod: &Pod,
    selector: &ResourceFieldSelector,
    allocatable: &BTreeMap<String, Quantity>,
) -> Result<String, FieldRefError> {
    let nothing = PodSpec::default();
    Ok(resource_value(pod.spec.as_ref().unwrap_or(&nothing), None, selector, allocatable)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u",
                "labels": {"b": "2", "a": "x \"y\"\n"}, "annotations": {"k.io/x": "v"}},
            "spec": {"containers": [
                {"name": "c", "resources": {"limits": {"cpu": "250m", "hugepages-2Mi": "4Mi"},
                                            "requests": {"cpu": "100m", "memory": "1Mi"}}},
                {"name": "zero", "resources": {"limits": {"cpu": "0"}}}],
              "initContainers": [{"name": "i"}]}
        }))
        .unwrap()
    }

    #[test]
    fn fields_of_the_pod_resolve() {
        for (path, value) in [
            ("metadata.name", Ok("p")),
            ("metadata.namespace", Ok("n")),
            ("metadata.uid", Ok("u")),
            ("metadata.labels", Ok("a=\"x \\\"y\\\"\\n\"\nb=\"2\"")),
            ("metadata.annotations", Ok("k.io/x=\"v\"")),
            ("metadata.labels['b']", Ok("2")),
            ("metadata.labels['none']", Ok("")),
            ("metadata.annotations['k.io/x']", Ok("v")),
            ("spec.nodeName", Err(FieldRefError::FieldPath("spec.nodeName".to_owned()))),
            ("metadata.name['x']", Err(FieldRefError::FieldPath("metadata.name['x']".to_owned()))),
        ] {
            assert_eq!(field(&pod(), path), value.map(str::to_owned), "{path}");
        }
    }

    #[test]
    fn resources_resolve_in_units_of_the_divisor() {
        let allocatable = BTreeMap::from([
            ("cpu".to_owned(), Quantity("4".to_owned())),
            ("memory".to_owned(), Quantity("1Gi".to_owned())),
        ]);
        let none = |name: &str| Err(TranslateError::Resource(name.to_owned()));
        for (container, name, divisor, value) in [
            ("c", "limits.cpu", None, Ok("1")),
            ("c", "limits.cpu", Some("1m"), Ok("250")),
            ("c", "limits.cpu", Some("0"), Ok("1")),
            ("c", "requests.cpu", Some("1m"), Ok("100")),
            ("c", "limits.memory", Some("1Mi"), Ok("1024")),
            ("c", "requests.memory", None, Ok("1048576")),
            ("c", "limits.hugepages-2Mi", Some("1Mi"), Ok("4")),
            ("zero", "limits.cpu", None, Ok("4")),
            ("i", "limits.cpu", Some("1m"), Ok("4000")),
            ("i", "requests.memory", None, Ok("0")),
            ("i", "limits.hugepages-2Mi", None, Ok("0")),
            ("i", "limits.ephemeral-storage", None, Ok("0")),
            ("c", "limits.nvidia.com/gpu", None, none("limits.nvidia.com/gpu")),
            ("c", "cpu", None, none("cpu")),
            ("x", "limits.cpu", None, Err(TranslateError::ContainerMissing("x".to_owned()))),
        ] {
            let selector = ResourceFieldSelector {
                container_name: Some(container.to_owned()),
                divisor: divisor.map(|d| Quantity(d.to_owned())),
                resource: name.to_owned(),
            };
            let found = resource(&pod(), &selector, &allocatable);
            let value = value.map(str::to_owned).map_err(FieldRefError::Resource);
            assert_eq!(found, value, "{container} {name} {divisor:?}");
        }
    }
}
