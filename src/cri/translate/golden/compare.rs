//! Compares requests field by field, as the cases' README lays down what counts.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::recorder::{LOG_ID, POD, ROOT, UID};

/// Lists whose order means nothing, as the ends of their paths.
const SETS: [&str; 4] = [".envs", ".options", ".masked_paths", ".readonly_paths"];
const MOUNTS: &str = ".mounts";
/// Fields that are maps, for which empty is the same as absent.
const MAPS: [&str; 4] = ["labels", "annotations", "sysctls", "unified"];

/// One line for each field that differs; ours on the left.
pub(super) fn differences(ours: &Value, kubelets: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", &normal("", ours), &normal("", kubelets), &mut found);
    found
}

fn normal(path: &str, value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.iter().filter(|(key, value)| counts(path, key, value));
            let kept = kept.map(|(key, value)| (key.clone(), normal(&format!("{path}.{key}"), value)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(list) => {
            let mut list: Vec<_> = list.iter().map(|value| normal(path, value)).collect();
            if path.ends_with(MOUNTS) {
                list.sort_by_key(|mount| mount["container_path"].as_str().unwrap_or_default().to_owned());
            } else if SETS.iter().any(|set| path.ends_with(set)) {
                list.sort_by_key(ToString::to_string);
            }
            Value::Array(list)
        }
        Value::String(text) => Value::String(placeholders(text)),
        other => other.clone(),
    }
}

fn counts(path: &str, key: &str, value: &Value) -> bool {
    let left_out = key.starts_with("kubernetes.io/config.")
        || key.contains("daemonlet")
        || ["io.kubernetes.container.hash", "controller-revision-hash", "pod-template-generation"]
            .contains(&key)
        || (path.rsplit('.').next() == Some("image") && key == "image");
    let nothing = value.as_object().is_some_and(|map| {
        MAPS.contains(&key)
            && !map.iter().any(|(entry, value)| counts(&format!("{path}.{key}"), entry, value))
    });
    !left_out && !nothing
}

fn placeholders(text: &str) -> String {
    text.replace(UID, "$UID")
        .replace(&UID.replace('-', "_"), "$UID")
        .replace(POD, "$POD")
        .replace(ROOT, "$ROOT")
        .replace(LOG_ID, "$ID")
}

fn compare(path: &str, ours: &Value, kubelets: &Value, found: &mut Vec<String>) {
    match (ours, kubelets) {
        (Value::Object(left), Value::Object(right)) => {
            for key in left.keys().chain(right.keys()).collect::<BTreeSet<_>>() {
                let [left, right] = [left, right].map(|side| side.get(key).unwrap_or(&Value::Null));
                compare(&format!("{path}.{key}"), left, right, found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}[{index}]"), left, right, found);
            }
        }
        _ if ours != kubelets => found.push(format!("{path}: {ours} is not {kubelets}")),
        _ => {}
    }
}

#[test]
fn a_difference_is_found_wherever_it_is() {
    let base = serde_json::json!({
        "sandbox": {"annotations": {}, "linux": {"overhead": {}}},
        "containers": {"c": {"envs": [{"key": "A"}, {"key": "B"}], "args": ["x", "y"], "image": {"image": "1"}}},
    });
    let changed = |change: fn(&mut Value)| {
        let mut other = base.clone();
        change(&mut other);
        differences(&base, &other).len()
    };
    assert_eq!(changed(|v| v["containers"]["c"]["envs"].as_array_mut().unwrap().reverse()), 0);
    assert_eq!(changed(|v| v["containers"]["c"]["image"]["image"] = "2".into()), 0);
    assert_eq!(changed(|v| v["sandbox"]["annotations"] = serde_json::json!({"a": "b"})), 1);
    assert_eq!(changed(|v| v["sandbox"]["annotations"] = serde_json::json!({"daemonlet.dev/a": "b"})), 0);
    assert_eq!(changed(|v| drop(v["sandbox"].as_object_mut().unwrap().remove("annotations"))), 0);
    assert_eq!(changed(|v| drop(v["sandbox"]["linux"].as_object_mut().unwrap().remove("overhead"))), 1);
    assert_eq!(changed(|v| v["containers"]["c"]["args"].as_array_mut().unwrap().reverse()), 2);
    assert_eq!(changed(|v| v["containers"]["c"]["tty"] = true.into()), 1);
}
