//! What a client of the API wants of the node, and the `node.yaml` that comes of it.
//!
//! Pure. A patch names what it changes of labels, annotations, taints and `spec.unschedulable`; nothing else of a node is its operator's to
//! say. What does not come from `node.yaml` can't be changed by it: the store's Node is laid over the file, and some labels and taints every
//! node has. Such a wish is refused with the place where it can be fulfilled, not half obeyed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::Value;

use super::{DRAINED, NodeName};

/// What is to change. What is not named stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edit {
    /// Labels by key; none for one that is to go.
    labels: BTreeMap<String, Option<String>>,
    /// Annotations by key; none for one that is to go.
    annotations: BTreeMap<String, Option<String>>,
    unschedulable: Option<bool>,
    /// All taints that the node is to have.
    taints: Option<Vec<Taint>>,
}

impl Edit {
    /// Reads a merge patch or a strategic merge patch, which say the same about these fields: maps are merged, lists replaced.
    ///
    /// # Errors
    /// When it wants anything else, or is no patch.
    pub fn of_patch(patch: &Value) -> Result<Self, String> {
        let mut edit = Self::default();
        for (part, fields) in object(patch, "the patch")? {
            if matches!(part.as_str(), "apiVersion" | "kind") {
                continue;
            }
            for (field, value) in object(fields, part)? {
                match (part.as_str(), field.as_str()) {
                    ("metadata", "name" | "resourceVersion" | "uid") => {}
                    ("metadata", "labels") => edit.labels = entries(value, "metadata.labels")?,
                    ("metadata", "annotations") => edit.annotations = entries(value, "metadata.annotations")?,
                    ("spec", "unschedulable") => edit.unschedulable = Some(flag(value)?),
                    ("spec", "taints") => edit.taints = Some(taints(value)?),
                    _ => {
                        return Err(format!(
                            "{part}.{field}: only metadata.labels, metadata.annotations, spec.unschedulable and spec.taints can be patched here"
                        ));
                    }
                }
            }
        }
        Ok(edit)
    }

    /// Whether the node is already as wanted.
    pub fn is_met_by(&self, node: &Node) -> bool {
        let has = |found: &Option<BTreeMap<String, String>>, wanted: &BTreeMap<String, Option<String>>| {
            wanted
                .iter()
                .all(|(key, value)| found.as_ref().and_then(|found| found.get(key)) == value.as_ref())
        };
        let spec = node.spec.as_ref();
        let unschedulable = spec.and_then(|spec| spec.unschedulable).unwrap_or_default();
        let found = taints_of(Some(node));
        let has_taint = |wanted: &Taint| found.iter().any(|it| is_equal(it, wanted));
        has(&node.metadata.labels, &self.labels)
            && has(&node.metadata.annotations, &self.annotations)
            && self.unschedulable.is_none_or(|wanted| wanted == unschedulable)
            && self
                .taints
                .as_ref()
                .is_none_or(|wanted| wanted.len() == found.len() && wanted.iter().all(has_taint))
    }
}

/// The Node that `node.yaml` is to hold: the one it holds now, edited. `shown` is the node as clients see it.
///
/// # Errors
/// All that can't be done by changing `node.yaml`, each with its field.
pub(super) fn edited(
    name: &NodeName,
    file: Option<&Node>,
    store: Option<&Node>,
    shown: &Node,
    edit: &Edit,
) -> Result<Node, Vec<String>> {
    let mut problems = Vec::new();
    let mut node = file.cloned().unwrap_or_default();
    node.metadata.name = Some(name.to_string());
    let in_store = store.map(|node| &node.metadata);
    let maps = [
        (
            "metadata.labels",
            &mut node.metadata.labels,
            in_store.and_then(|it| it.labels.as_ref()),
            &edit.labels,
        ),
        (
            "metadata.annotations",
            &mut node.metadata.annotations,
            in_store.and_then(|it| it.annotations.as_ref()),
            &edit.annotations,
        ),
    ];
    for (field, map, of_store, wanted) in maps {
        let map = map.get_or_insert_default();
        for (key, value) in wanted {
            match (of_store.and_then(|it| it.get(key)), value) {
                (Some(stands), value) if Some(stands) != value.as_ref() => {
                    problems.push(format!(
                        "{field}.{key}: the Node in the store says {stands:?}: change it there"
                    ));
                }
                (_, Some(value)) => drop(map.insert(key.clone(), value.clone())),
                (_, None) => {
                    let was_here = map.remove(key).is_some();
                    let shown = shown.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(key));
                    if !was_here && shown && field == "metadata.labels" {
                        problems.push(format!("{field}.{key}: every node has this label"));
                    }
                }
            }
        }
    }
    node.metadata.labels = node.metadata.labels.filter(|labels| !labels.is_empty());
    node.metadata.annotations = node.metadata.annotations.filter(|annotations| !annotations.is_empty());
    let spec = node.spec.get_or_insert_default();
    if let Some(wanted) = edit.unschedulable {
        if store.and_then(|it| it.spec.as_ref()?.unschedulable).is_some_and(|stands| stands != wanted) {
            problems
                .push(format!("spec.unschedulable: the Node in the store says {}: change it there", !wanted));
        }
        spec.unschedulable = wanted.then_some(true);
        if !wanted && let Some(annotations) = &mut node.metadata.annotations {
            // Whoever lets pods run again, lets all of them run.
            annotations.remove(DRAINED);
        }
    }
    if let Some(wanted) = &edit.taints {
        let taints = edited_taints(
            spec.taints.take().unwrap_or_default(),
            taints_of(store),
            taints_of(Some(shown)),
            wanted,
        )
        .unwrap_or_else(|refused| {
            problems.extend(refused);
            Vec::new()
        });
        spec.taints = Some(taints).filter(|taints| !taints.is_empty());
    }
    if problems.is_empty() { Ok(node) } else { Err(problems) }
}

fn edited_taints(
    mut own: Vec<Taint>,
    store: &[Taint],
    shown: &[Taint],
    wanted: &[Taint],
) -> Result<Vec<Taint>, Vec<String>> {
    let mut problems = Vec::new();
    let find = |list: &[Taint], taint: &Taint| list.iter().find(|it| is_same(it, taint)).cloned();
    for taint in shown.iter().filter(|taint| find(wanted, taint).is_none()) {
        let name = format!("spec.taints: {}:{}", taint.key, taint.effect);
        if find(store, taint).is_some() {
            problems.push(format!("{name} comes from the Node in the store: remove it there"));
        } else if find(&own, taint).is_some() {
            own.retain(|it| !is_same(it, taint));
        } else {
            problems.push(format!("{name} comes with the node's condition, and goes with it"));
        }
    }
    for taint in wanted {
        let plain = Taint { time_added: None, ..taint.clone() };
        if let Some(stands) = find(store, taint) {
            if !is_equal(&stands, taint) {
                let name = format!("spec.taints: {}:{}", taint.key, taint.effect);
                problems.push(format!("{name} comes from the Node in the store: change it there"));
            }
        } else if let Some(known) = own.iter_mut().find(|it| is_same(it, taint)) {
            *known = plain;
        } else if find(shown, taint).is_none_or(|it| !is_equal(&it, taint)) {
            own.push(plain);
        }
    }
    if problems.is_empty() { Ok(own) } else { Err(problems) }
}

fn taints_of(node: Option<&Node>) -> &[Taint] {
    node.and_then(|node| node.spec.as_ref()?.taints.as_deref()).unwrap_or_default()
}

/// A node has one taint of a key and an effect.
fn is_same(one: &Taint, other: &Taint) -> bool {
    one.key == other.key && one.effect == other.effect
}

fn is_equal(one: &Taint, other: &Taint) -> bool {
    is_same(one, other)
        && one.value.as_deref().unwrap_or_default() == other.value.as_deref().unwrap_or_default()
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a serde_json::Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{at}: must be an object"))
}

fn entries(value: &Value, at: &str) -> Result<BTreeMap<String, Option<String>>, String> {
    if value.is_null() {
        return Err(format!("{at}: name the keys that are to go, each with null"));
    }
    let entry = |(key, value): (&String, &Value)| match value {
        Value::Null => Ok((key.clone(), None)),
        Value::String(text) => Ok((key.clone(), Some(text.clone()))),
        _ => Err(format!("{at}.{key}: must be a string or null")),
    };
    object(value, at)?.iter().map(entry).collect()
}

fn flag(value: &Value) -> Result<bool, String> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err("spec.unschedulable: must be true, false or null".to_owned()),
    }
}

fn taints(value: &Value) -> Result<Vec<Taint>, String> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    serde_json::from_value(value.clone()).map_err(|error| format!("spec.taints: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(value: Value) -> Node {
        serde_json::from_value(value).unwrap()
    }

    fn result(file: Value, store: Value, shown: Value, patch: Value) -> Result<Value, Vec<String>> {
        let edit = Edit::of_patch(&patch).map_err(|problem| vec![problem])?;
        let name = "edge-1".parse().unwrap();
        edited(&name, Some(&node(file)), Some(&node(store)), &node(shown), &edit)
            .map(|node| serde_json::to_value(node).unwrap())
    }

    #[test]
    fn labels_are_merged_into_the_file_and_those_of_others_stand() {
        let file = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"podCIDR": "10.0.0.0/24"}});
        let store = json!({"metadata": {"labels": {"s": "store"}}});
        let shown =
            json!({"metadata": {"labels": {"a": "1", "b": "2", "s": "store", "kubernetes.io/os": "linux"}}});
        let asked = |labels: Value| {
            result(file.clone(), store.clone(), shown.clone(), json!({"metadata": {"labels": labels}}))
        };
        let edited = asked(json!({"a": null, "c": "3", "b": "x", "s": "store"})).unwrap();
        assert_eq!(
            edited["metadata"],
            json!({"name": "edge-1", "labels": {"b": "x", "c": "3", "s": "store"}})
        );
        assert_eq!(edited["spec"], json!({"podCIDR": "10.0.0.0/24"}));
        for (labels, part) in [
            (json!({"s": "mine"}), "metadata.labels.s: the Node in the store says \"store\""),
            (json!({"s": null}), "metadata.labels.s: the Node in the store"),
            (json!({"kubernetes.io/os": null}), "every node has this label"),
            (json!({"a": 5}), "metadata.labels.a: must be a string"),
        ] {
            let problems = asked(labels).unwrap_err().join("; ");
            assert!(problems.contains(part), "{problems}");
        }
        assert!(asked(json!({"nobody-has-it": null})).is_ok());
    }

    #[test]
    fn taints_are_what_the_client_wants_and_those_of_others_are_not_taken_over() {
        let taint = |key: &str, value: &str| json!({"key": key, "value": value, "effect": "NoSchedule"});
        let file = json!({"metadata": {}, "spec": {"taints": [taint("own", "1"), taint("unseen", "")]}});
        let store = json!({"metadata": {}, "spec": {"taints": [taint("store", "s")]}});
        let pressure = taint("node.kubernetes.io/disk-pressure", "");
        let shown =
            json!({"metadata": {}, "spec": {"taints": [taint("own", "1"), taint("store", "s"), pressure]}});
        let asked = |taints: Value| {
            let edited =
                result(file.clone(), store.clone(), shown.clone(), json!({"spec": {"taints": taints}}));
            edited.map(|node| node["spec"]["taints"].clone())
        };
        let others = [taint("store", "s"), pressure.clone()];
        let with = |own: &[Value]| Value::Array(own.iter().chain(&others).cloned().collect());
        let mut new = taint("new", "n");
        new["timeAdded"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(asked(with(&[new])), Ok(json!([taint("unseen", ""), taint("new", "n")])));
        assert_eq!(asked(with(&[taint("own", "2")])), Ok(json!([taint("own", "2"), taint("unseen", "")])));
        for (taints, part) in [
            (
                json!([taint("own", "1"), pressure]),
                "store:NoSchedule comes from the Node in the store: remove",
            ),
            (json!([taint("store", "other"), pressure]), "comes from the Node in the store: change"),
            (json!([taint("store", "s")]), "comes with the node's condition"),
        ] {
            let problems = asked(taints).unwrap_err().join("; ");
            assert!(problems.contains(part), "{problems}");
        }
    }

    #[test]
    fn to_let_pods_run_again_ends_the_drain() {
        let file = json!({"metadata": {"annotations": {DRAINED: "x"}}, "spec": {"unschedulable": true}});
        let nothing = json!({"metadata": {}});
        for unschedulable in [json!(null), json!(false)] {
            let patch = json!({"spec": {"unschedulable": unschedulable}});
            let edited = result(file.clone(), nothing.clone(), nothing.clone(), patch).unwrap();
            assert_eq!((&edited["spec"], &edited["metadata"]["annotations"]), (&json!({}), &json!({})));
        }
        let store = json!({"metadata": {}, "spec": {"unschedulable": true}});
        let patch = json!({"spec": {"unschedulable": false}});
        let problems = result(file, store, nothing, patch).unwrap_err();
        assert_eq!(problems, ["spec.unschedulable: the Node in the store says true: change it there"]);
    }

    #[test]
    fn what_cannot_be_patched_is_named() {
        for (patch, part) in [
            (json!([]), "must be an object"),
            (json!({"spec": {"podCIDR": "x"}}), "spec.podCIDR: only metadata.labels"),
            (json!({"status": {"capacity": {}}}), "status.capacity: only"),
            (json!({"metadata": {"labels": null}}), "metadata.labels: name the keys"),
            (json!({"spec": {"taints": "a"}}), "spec.taints: invalid type"),
        ] {
            let problem = Edit::of_patch(&patch).unwrap_err();
            assert!(problem.contains(part), "{patch}: {problem}");
        }
    }
}
