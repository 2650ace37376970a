//! Label selectors: their syntax, and whether they match. Rule: `apimachinery/pkg/apis/meta/v1/validation/validation.go`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::error::Errors;
use super::{metadata, names};
use crate::manifest::path::FieldPath;

const VALUES_NEEDED: &str = "must be specified when `operator` is 'In' or 'NotIn'";
const NO_VALUES: &str = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";

pub(super) fn label_selector(selector: &LabelSelector, path: &FieldPath, errors: &mut Errors) {
    metadata::labels(selector.match_labels.as_ref(), &path.child("matchLabels"), errors);
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = expression.values.as_deref().unwrap_or_default();
        match expression.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => errors.required(path.child("values"), VALUES_NEEDED),
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors.forbidden(path.child("values"), NO_VALUES);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(path.child("operator"), other, "not a valid selector operator"),
        }
        errors.format(&path.child("key"), &expression.key, names::qualified_name(&expression.key));
        for (index, value) in values.iter().enumerate() {
            errors.format(&path.child("values").index(index), value, names::label_value(value));
        }
    }
}

/// Whether a well-formed selector matches; an empty one matches everything.
pub(super) fn matches(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    let label = |key: &String| labels.and_then(|labels| labels.get(key));
    let all_equal = selector.match_labels.iter().flatten().all(|(key, value)| label(key) == Some(value));
    all_equal
        && selector.match_expressions.iter().flatten().all(|expression| {
            let found = label(&expression.key);
            let among = |value: &String| expression.values.iter().flatten().any(|listed| listed == value);
            match expression.operator.as_str() {
                "In" => found.is_some_and(among),
                "NotIn" => !found.is_some_and(among),
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}
