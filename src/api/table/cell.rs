//! Cells that several tables share.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// What an empty cell shows.
pub(super) const NONE: &str = "<none>";

/// A cell's text, or `<none>`.
pub(super) fn or_none(text: Option<&str>) -> &str {
    text.filter(|text| !text.is_empty()).unwrap_or(NONE)
}

/// Labels as `key=value,key=value`, sorted as these texts are and not by key: `a-b=1` comes before `a=1`; `<none>` if there are none.
/// Rule: `Set.String` of `apimachinery/pkg/labels/labels.go`.
pub fn format_labels(labels: Option<&BTreeMap<String, String>>) -> String {
    match labels {
        Some(labels) if !labels.is_empty() => {
            let mut shown: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            shown.sort();
            shown.join(",")
        }
        _ => NONE.to_owned(),
    }
}

/// A label selector in the form in which it can be given to `-l`, sorted by key; `<none>` if it is empty.
/// Rule: `internalSelector` of `apimachinery/pkg/labels/selector.go`.
pub fn format_label_selector(selector: &LabelSelector) -> String {
    let mut parts: Vec<(&String, String)> =
        selector.match_labels.iter().flatten().map(|(key, value)| (key, format!("{key}={value}"))).collect();
    for requirement in selector.match_expressions.iter().flatten() {
        let mut values = requirement.values.clone().unwrap_or_default();
        values.sort();
        let (key, values) = (&requirement.key, values.join(","));
        let part = match requirement.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.clone(),
            "DoesNotExist" => format!("!{key}"),
            _ => return "<error>".to_owned(),
        };
        parts.push((key, part));
    }
    if parts.is_empty() {
        return NONE.to_owned();
    }
    parts.sort_by_key(|(key, _)| *key);
    parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join(",")
}

/// The containers' names and images, each joined by commas.
pub(super) fn containers(containers: &[Container]) -> (String, String) {
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    let images: Vec<&str> =
        containers.iter().map(|container| container.image.as_deref().unwrap_or_default()).collect();
    (names.join(","), images.join(","))
}
