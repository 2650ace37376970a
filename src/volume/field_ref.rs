//! The values that `fieldRef` and `resourceFieldRef` name in volumes. Rules: `pkg/fieldpath`, `pkg/api/v1/resource`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::manifest::Quantity as Amount;

/// A reference that has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum FieldRefError {
    #[error("unsupported fieldPath: {0}")]
    FieldPath(String),
    #[error("fieldPath {0:?} does not support subscript")]
    Subscript(String),
    #[error("container {0} not found")]
    Container(String),
    #[error("unsupported container resource : {0}")]
    Resource(String),
    #[error("unable to read quantity {0:?}")]
    Quantity(String),
}

/// The value of a field of the pod. Volumes may name its metadata only.
pub(super) fn field(pod: &Pod, path: &str) -> Result<String, FieldRefError> {
    let metadata = &pod.metadata;
    if let Some((base, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match base {
            "metadata.labels" => &metadata.labels,
            "metadata.annotations" => &metadata.annotations,
            _ => return Err(FieldRefError::Subscript(base.to_owned())),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    match path {
        "metadata.name" => Ok(metadata.name.clone().unwrap_or_default()),
        "metadata.namespace" => Ok(metadata.namespace.clone().unwrap_or_default()),
        "metadata.uid" => Ok(metadata.uid.clone().unwrap_or_default()),
        "metadata.labels" => Ok(lines(metadata.labels.as_ref())),
        "metadata.annotations" => Ok(lines(metadata.annotations.as_ref())),
        _ => Err(FieldRefError::FieldPath(path.to_owned())),
    }
}

/// The value of a container's request or limit in units of the divisor, rounded up.
pub(super) fn resource(
    pod: &Pod,
    selector: &ResourceFieldSelector,
    allocatable: &BTreeMap<String, Quantity>,
) -> Result<String, FieldRefError> {
    let unsupported = || FieldRefError::Resource(selector.resource.clone());
    let (list, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let node_has = matches!(name, "cpu" | "memory" | "ephemeral-storage");
    if !node_has && !name.starts_with("hugepages-") {
        return Err(unsupported());
    }
    let wanted = selector.container_name.as_deref().unwrap_or_default();
    let (spec, container) = find_container(pod, wanted)?;
    let resources = container.resources.as_ref();
    let quantity = match list {
        "requests" => resources.and_then(|r| r.requests.as_ref()?.get(name)),
        "limits" => {
            let own = resources.and_then(|r| r.limits.as_ref()?.get(name));
            let own = own.filter(|q| !(node_has && Amount::try_from(*q).is_ok_and(Amount::is_zero)));
            let whole_pod = || spec.resources.as_ref()?.limits.as_ref()?.get(name);
            own.or_else(|| if node_has { whole_pod().or_else(|| allocatable.get(name)) } else { None })
        }
        _ => return Err(unsupported()),
    };
    let amount = quantity.map_or(Ok(None), |q| parse(q).map(Some))?;
    let divisor = selector.divisor.as_ref().map_or(Ok(None), |q| parse(q).map(Some))?;
    let divisor = divisor.filter(|divisor| !divisor.is_zero());
    let (amount, divisor) = if name == "cpu" {
        (amount.map_or(0, Amount::milli_value), divisor.map_or(1000, Amount::milli_value))
    } else {
        (amount.map_or(0, Amount::value), divisor.map_or(1, Amount::value))
    };
    let divisor = divisor.max(1);
    let rounded_up = amount / divisor + i64::from(amount % divisor > 0);
    Ok(rounded_up.to_string())
}

fn find_container<'a>(pod: &'a Pod, name: &str) -> Result<(&'a PodSpec, &'a Container), FieldRefError> {
    let found = pod.spec.as_ref().and_then(|spec| {
        let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        all.find(|container| container.name == name).map(|container| (spec, container))
    });
    found.ok_or_else(|| FieldRefError::Container(name.to_owned()))
}

fn parse(quantity: &Quantity) -> Result<Amount, FieldRefError> {
    Amount::try_from(quantity).map_err(|_| FieldRefError::Quantity(quantity.0.clone()))
}

/// `key="value"` lines, sorted by key.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quote(value))).collect();
    lines.join("\n")
}

/// A string as Go's `%q` prints it.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            _ if is_printable(c) => quoted.push(c),
            _ => {
                let code = u32::from(c);
                // Writing to a String can't fail.
                let _ = match code {
                    0..0x80 => write!(quoted, "\\x{code:02x}"),
                    0x80..0x1_0000 => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Whether Go calls the character printable. Rust's `escape_debug` draws the same line; behind a base character it lets
/// combining marks through as well.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    let text: String = ['a', c].iter().collect();
    text.escape_debug().nth(1) == Some(c)
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
            ("metadata.name['x']", Err(FieldRefError::Subscript("metadata.name".to_owned()))),
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
        let none = |name: &str| Err(FieldRefError::Resource(name.to_owned()));
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
            ("x", "limits.cpu", None, Err(FieldRefError::Container("x".to_owned()))),
        ] {
            let selector = ResourceFieldSelector {
                container_name: Some(container.to_owned()),
                divisor: divisor.map(|d| Quantity(d.to_owned())),
                resource: name.to_owned(),
            };
            let found = resource(&pod(), &selector, &allocatable);
            assert_eq!(found, value.map(str::to_owned), "{container} {name} {divisor:?}");
        }
    }

    #[test]
    fn values_are_quoted_as_go_quotes_them() {
        for (text, quoted) in [
            ("", r#""""#),
            (r#"a"b\c"#, r#""a\"b\\c""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#),
            ("\0\u{1f}\u{7f}", r#""\x00\x1f\x7f""#),
            ("é日🎉", "\"é日🎉\""),
            ("e\u{301}", "\"e\u{301}\""),
            ("\u{a0}\u{200b}\u{feff}", r#""\u00a0\u200b\ufeff""#),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(quote(text), quoted);
        }
    }
}
