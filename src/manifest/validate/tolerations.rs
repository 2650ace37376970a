//! Tolerations and taints. Rule: `ValidateTolerations`, `validateNodeTaints` in `core/validation`.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::error::{Errors, FieldError};
use super::names;
use crate::manifest::path::FieldPath;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn toleration(toleration: &Toleration, path: &FieldPath, errors: &mut Errors) {
    let text = |field: &'static str| -> (FieldPath, &str) {
        let value = match field {
            "key" => &toleration.key,
            "operator" => &toleration.operator,
            "value" => &toleration.value,
            _ => &toleration.effect,
        };
        (path.child(field), value.as_deref().unwrap_or_default())
    };
    let ((key_path, key), (operator_path, operator)) = (text("key"), text("operator"));
    let ((_, value), (effect_path, effect)) = (text("value"), text("effect"));
    if !key.is_empty() {
        errors.format(&key_path, key, names::qualified_name(key));
    } else if operator != "Exists" {
        let detail =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.invalid(operator_path.clone(), operator, detail);
    }
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.invalid(effect_path.clone(), effect, detail);
    }
    match operator {
        "" | "Equal" => {
            let broken = names::label_value(value);
            if !broken.is_empty() {
                errors.invalid(operator_path, value, broken.join(";"));
            }
        }
        "Exists" if !value.is_empty() => {
            errors.invalid(operator_path, value, "value must be empty when `operator` is 'Exists'");
        }
        "Exists" => {}
        other => errors.add(FieldError::not_supported(operator_path, other, &["Equal", "Exists"])),
    }
    if !effect.is_empty() {
        errors.one_of(effect_path, effect, &EFFECTS);
    }
}

/// A node's taints. The API server reports them below `metadata`.
pub(super) fn taints(taints: &[Taint], errors: &mut Errors) {
    let path = FieldPath::new("metadata.taints");
    for (index, taint) in taints.iter().enumerate() {
        let path = path.index(index);
        errors.format(&path.child("key"), &taint.key, names::qualified_name(&taint.key));
        let value = taint.value.as_deref().unwrap_or_default();
        let broken = names::label_value(value);
        if !broken.is_empty() {
            errors.invalid(path.child("value"), value, broken.join(";"));
        }
        if errors.present(path.child("effect"), &taint.effect) {
            errors.one_of(path.child("effect"), &taint.effect, &EFFECTS);
        }
        if taints[..index].iter().any(|other| other.key == taint.key && other.effect == taint.effect) {
            let value = serde_json::json!(taint);
            let duplicate = FieldError::duplicate(path, &value);
            let detail = "taints must be unique by key and effect pair".to_owned();
            errors.add(FieldError { detail, ..duplicate });
        }
    }
}
