//! The downward API: a pod's own fields and resources as text, for environment variables and for files.
//!
//! Rules: `podFieldSelectorRuntimeValue` in the kubelet's `pkg/kubelet/kubelet_pods.go`, `pkg/fieldpath`, and
//! `ExtractContainerResourceValue` in `pkg/api/v1/resource`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    Container, ObjectFieldSelector, Pod, PodSpec, ResourceFieldSelector, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::amount::{milli, whole};
use super::error::TranslateError;
use super::go_quote::quoted;
use super::host::Host;
use super::view::{PodView, init_containers};

/// The value of a field of the pod; `ips` are its addresses, as [`super::pod_ips::pod_ips`] gives them.
///
/// # Errors
/// There is no such field, or it is of another API version.
pub fn field_value(
    pod: &Pod,
    field: &ObjectFieldSelector,
    ips: &[IpAddr],
    host: &Host,
) -> Result<String, TranslateError> {
    let view = PodView::of(pod)?;
    let version = field.api_version.as_deref().unwrap_or_default();
    if !matches!(version, "" | "v1") {
        return Err(TranslateError::FieldVersion(version.to_owned()));
    }
    let path = field.field_path.as_str();
    if let Some(value) = metadata_value(&pod.metadata, path) {
        return Ok(value);
    }
    Ok(match path {
        "spec.nodeName" | "spec.host" => view.spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => view.spec.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(&host.node_ips),
        "status.hostIPs" => joined(&host.node_ips),
        "status.podIP" => first(ips),
        "status.podIPs" => joined(ips),
        _ => return Err(TranslateError::FieldPath(path.to_owned())),
    })
}

/// The value of a field of the pod's metadata, which is all that files may name; nothing if there is no such field.
pub fn metadata_value(metadata: &ObjectMeta, path: &str) -> Option<String> {
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &metadata.labels,
            "metadata.annotations" => &metadata.annotations,
            _ => return None,
        };
        return Some(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    Some(match path {
        "metadata.name" => metadata.name.clone().unwrap_or_default(),
        "metadata.namespace" => metadata.namespace.clone().unwrap_or_default(),
        "metadata.uid" => metadata.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(metadata.labels.as_ref()),
        "metadata.annotations" => lines(metadata.annotations.as_ref()),
        _ => return None,
    })
}

/// What the node gives to pods of a resource, in thousandths: a container without a limit has that for one.
pub trait NodeGives {
    /// Nothing of what it doesn't know.
    fn milli(&self, resource: &str) -> i128;
}

impl NodeGives for Host {
    fn milli(&self, resource: &str) -> i128 {
        let of_node = self.allocatable;
        match resource {
            "cpu" => i128::from(of_node.cpu_milli),
            "memory" => i128::from(of_node.memory_bytes) * 1000,
            "ephemeral-storage" => i128::from(of_node.ephemeral_storage_bytes.unwrap_or_default()) * 1000,
            _ => 0,
        }
    }
}

impl NodeGives for BTreeMap<String, Quantity> {
    fn milli(&self, resource: &str) -> i128 {
        self.get(resource).map_or(0, milli)
    }
}

/// What stands in for a limit that is not set.
enum Fallback {
    /// That of the pod, or what the node gives.
    Node,
    Nothing,
}

/// The value of a container's request or limit; `own` is the container that asks, if the selector names none.
///
/// # Errors
/// There is no such resource or container.
pub fn resource_value(
    spec: &PodSpec,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    node: &impl NodeGives,
) -> Result<String, TranslateError> {
    let called = |name: &str, list: &'_ [Container]| list.iter().position(|container| container.name == name);
    let (container, fallback) = match selector.container_name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => match (called(name, &spec.containers), called(name, init_containers(spec))) {
            (Some(index), _) => (&spec.containers[index], Fallback::Node),
            // For variables the kubelet gives no default to init containers that are named.
            (None, Some(index)) => {
                let fallback = if own.is_some() { Fallback::Nothing } else { Fallback::Node };
                (&init_containers(spec)[index], fallback)
            }
            (None, None) => return Err(TranslateError::ContainerMissing(name.to_owned())),
        },
        None => (own.ok_or_else(|| TranslateError::ContainerMissing(String::new()))?, Fallback::Node),
    };
    let unknown = || TranslateError::Resource(selector.resource.clone());
    let (list, resource) = selector.resource.split_once('.').ok_or_else(unknown)?;
    if !matches!(resource, "cpu" | "memory" | "ephemeral-storage") && !resource.starts_with("hugepages-") {
        return Err(unknown());
    }
    let amount = match list {
        "limits" => match fallback {
            Fallback::Node => limit(spec, container, resource, node),
            Fallback::Nothing => own_limit(container.resources.as_ref(), resource).unwrap_or_default(),
        },
        "requests" => request(container, resource),
        _ => return Err(unknown()),
    };
    Ok(divided(resource, amount, selector.divisor.as_ref()).to_string())
}

fn own_limit(resources: Option<&ResourceRequirements>, resource: &str) -> Option<i128> {
    let set = resources.and_then(|resources| resources.limits.as_ref()?.get(resource)).map(milli);
    set.filter(|amount| *amount != 0)
}

// Huge pages are never overcommitted: of them a container has what is set for it and nothing else.
fn limit(spec: &PodSpec, container: &Container, resource: &str, node: &impl NodeGives) -> i128 {
    let own = own_limit(container.resources.as_ref(), resource);
    if resource.starts_with("hugepages-") {
        return own.unwrap_or_default();
    }
    own.or_else(|| own_limit(spec.resources.as_ref(), resource)).unwrap_or_else(|| node.milli(resource))
}

fn request(container: &Container, resource: &str) -> i128 {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    requests.and_then(|list| list.get(resource)).map_or(0, milli)
}

// CPUs are divided in thousandths, everything else in whole units; the divisor is rounded to the same first.
fn divided(resource: &str, amount: i128, divisor: Option<&Quantity>) -> i128 {
    let divisor = divisor.map(milli).filter(|divisor| *divisor != 0).unwrap_or(1000);
    let (amount, divisor) = if resource == "cpu" {
        (amount, divisor)
    } else {
        (i128::from(whole(amount)), i128::from(whole(divisor)))
    };
    amount.div_euclid(divisor) + i128::from(amount.rem_euclid(divisor) != 0)
}

/// `metadata.labels['key']` as its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, key))
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let pairs = map.into_iter().flatten();
    pairs.map(|(key, value)| format!("{key}={}", quoted(value))).collect::<Vec<_>>().join("\n")
}

fn first(ips: &[IpAddr]) -> String {
    ips.first().map(ToString::to_string).unwrap_or_default()
}

fn joined(ips: &[IpAddr]) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{container, pod, pod_spec};
    use super::*;

    fn field(path: &str) -> Result<String, TranslateError> {
        let mut pod = pod(pod_spec(Vec::new()));
        let map = [("b", "2"), ("a", "x \"y\"\n\u{1}")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        pod.metadata.labels = Some(map.into());
        let spec = pod.spec.as_mut().unwrap();
        spec.node_name = Some("node-1".to_owned());
        spec.service_account_name = Some("default".to_owned());
        let mut host = Host::for_tests();
        host.node_ips.push("2001:db8::1".parse().unwrap());
        let ips = ["10.0.0.2".parse().unwrap(), "2001:db8::2".parse().unwrap()];
        let selector =
            ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() };
        field_value(&pod, &selector, &ips, &host)
    }

    #[test]
    fn fields_have_the_kubelets_values() {
        for (path, value) in [
            ("metadata.name", "p"),
            ("metadata.namespace", "ns"),
            ("metadata.uid", "uid-1"),
            ("metadata.labels['b']", "2"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['none']", ""),
            ("metadata.labels", "a=\"x \\\"y\\\"\\n\\x01\"\nb=\"2\""),
            ("metadata.annotations", ""),
            ("spec.nodeName", "node-1"),
            ("spec.host", "node-1"),
            ("spec.serviceAccountName", "default"),
            ("status.hostIP", "192.0.2.1"),
            ("status.hostIPs", "192.0.2.1,2001:db8::1"),
            ("status.podIP", "10.0.0.2"),
            ("status.podIPs", "10.0.0.2,2001:db8::2"),
        ] {
            assert_eq!(field(path).as_deref(), Ok(value), "{path}");
        }
        assert_eq!(field("spec.foo").unwrap_err().to_string(), "field label not supported: spec.foo");
    }

    #[test]
    fn a_variable_that_names_an_init_container_has_its_own_limit_or_none() {
        let mut spec = pod_spec(vec![container("c", "{}")]);
        spec.init_containers = Some(vec![container("i", "{}")]);
        let of = |own: &Container, name: Option<&str>| {
            let selector = ResourceFieldSelector {
                container_name: name.map(ToOwned::to_owned),
                divisor: None,
                resource: "limits.cpu".to_owned(),
            };
            resource_value(&spec, Some(own), &selector, &Host::for_tests()).unwrap()
        };
        let (regular, init) = (&spec.containers[0], &spec.init_containers.as_ref().unwrap()[0]);
        assert_eq!((of(init, None), of(init, Some("i"))), ("2".to_owned(), "0".to_owned()));
        assert_eq!((of(regular, Some("i")), of(init, Some("c"))), ("0".to_owned(), "2".to_owned()));
        let selector = ResourceFieldSelector {
            container_name: Some("i".to_owned()),
            divisor: None,
            resource: "limits.cpu".to_owned(),
        };
        let in_volume = resource_value(&spec, None, &selector, &Host::for_tests()).unwrap();
        assert_eq!(in_volume, "2", "a file has the default");
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let resources = r#"{"limits":{"cpu":"250m","memory":"3Mi"},"requests":{"cpu":"1500m"}}"#;
        let spec = pod_spec(vec![container("c", resources), container("d", "{}")]);
        let of = |resource: &str, divisor: Option<&str>, name: Option<&str>| {
            let selector = ResourceFieldSelector {
                container_name: name.map(ToOwned::to_owned),
                divisor: divisor.map(|divisor| Quantity(divisor.to_owned())),
                resource: resource.to_owned(),
            };
            resource_value(&spec, Some(&spec.containers[0]), &selector, &Host::for_tests())
                .map_err(|error| error.to_string())
        };
        for (resource, divisor, name, value) in [
            ("limits.cpu", None, None, "1"),
            ("limits.cpu", Some("0"), None, "1"),
            ("limits.cpu", Some("1m"), None, "250"),
            ("requests.cpu", Some("1"), None, "2"),
            ("limits.memory", Some("1Mi"), None, "3"),
            ("limits.memory", Some("2Mi"), None, "2"),
            ("limits.memory", None, None, "3145728"),
            ("requests.memory", None, None, "0"),
            ("limits.cpu", None, Some("d"), "2"),
            ("limits.memory", Some("1Gi"), Some("d"), "7"),
            ("limits.hugepages-2Mi", None, None, "0"),
        ] {
            assert_eq!(of(resource, divisor, name).as_deref(), Ok(value), "{resource} {divisor:?} {name:?}");
        }
        assert_eq!(of("limits.gpu", None, None), Err("Unsupported container resource : limits.gpu".into()));
        assert_eq!(of("limits.cpu", None, Some("z")), Err("container z not found".into()));
    }
}
