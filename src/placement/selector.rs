//! The template's `nodeSelector`: each pair must be on the node, byte for byte.
//!
//! Source: `GetRequiredNodeAffinity` in `component-helpers/scheduling/corev1/nodeaffinity`.

use std::collections::BTreeMap;

use super::affinity::{Expression, Found, Unmet};

/// The pairs of `selector` that the node's labels don't have, in key order. A missing label is never an empty one.
pub(super) fn unmet(
    selector: &BTreeMap<String, String>,
    labels: Option<&BTreeMap<String, String>>,
) -> Vec<Unmet> {
    selector
        .iter()
        .filter_map(|(key, value)| {
            let found = labels.and_then(|labels| labels.get(key));
            (found != Some(value)).then(|| Unmet {
                expression: Expression::Pair { key: key.clone(), value: value.clone() },
                found: Found::label(key, found.map(String::as_str)),
            })
        })
        .collect()
}
