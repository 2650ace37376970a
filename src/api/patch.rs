//! Patches of a DaemonSet's pod template. Pure.
//!
//! What kubectl sends for `rollout undo` (the whole template, with `$patch: replace`) and `rollout restart` (one annotation), and whatever
//! a merge patch can say (RFC 7386). Anything but the template is the store's to say, and lists that would have to be merged by key are
//! refused rather than replaced.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

/// How a patch is to be read, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `application/merge-patch+json`
    Merge,
    /// `application/strategic-merge-patch+json`
    StrategicMerge,
}

impl Kind {
    /// The kind of this content type.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => Some(Kind::Merge),
            "application/strategic-merge-patch+json" => Some(Kind::StrategicMerge),
            _ => None,
        }
    }
}

/// The template after a patch of its DaemonSet; or what is wrong with the patch.
pub(super) fn template(
    current: &PodTemplateSpec,
    patch: &Value,
    kind: Kind,
) -> Result<PodTemplateSpec, String> {
    let template = only_field(only_field(patch, "", "spec")?, "spec", "template")?;
    let mut merged = serde_json::to_value(current).map_err(|error| error.to_string())?;
    let replaces = template.get("$patch").and_then(Value::as_str) == Some("replace");
    if kind == Kind::StrategicMerge && replaces {
        merged = template.clone();
        if let Some(fields) = merged.as_object_mut() {
            fields.remove("$patch");
        }
    } else {
        merge(&mut merged, template, kind, "spec.template")?;
    }
    serde_json::from_value(merged)
        .map_err(|error| format!("the patch does not leave a valid pod template: {error}"))
}

/// The value of the only field that may be patched here.
fn only_field<'a>(patch: &'a Value, at: &str, name: &str) -> Result<&'a Value, String> {
    let fields = patch.as_object().ok_or_else(|| format!("{at}: must be an object"))?;
    if let Some(other) = fields.keys().find(|field| *field != name) {
        let at = if at.is_empty() { other.clone() } else { format!("{at}.{other}") };
        return Err(format!("{at}: only spec.template can be patched here; the store says the rest"));
    }
    fields.get(name).ok_or_else(|| "the patch is empty: spec.template can be patched".to_owned())
}

fn merge(target: &mut Value, patch: &Value, kind: Kind, at: &str) -> Result<(), String> {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                let at = format!("{at}.{name}");
                if name.starts_with('$') {
                    return Err(format!("{at}: this directive is not understood"));
                }
                if value.is_null() {
                    target.remove(name);
                } else if kind == Kind::StrategicMerge && value.is_array() && target.contains_key(name) {
                    return Err(format!(
                        "{at}: lists can't be patched strategically here; send a merge patch"
                    ));
                } else {
                    merge(target.entry(name.clone()).or_insert(Value::Null), value, kind, &at)?;
                }
            }
            Ok(())
        }
        (target, Value::Object(_)) => {
            *target = Value::Object(serde_json::Map::new());
            merge(target, patch, kind, at)
        }
        (target, value) => {
            *target = value.clone();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn current() -> PodTemplateSpec {
        serde_json::from_value(json!({
            "metadata": {"labels": {"app": "a"}, "annotations": {"one": "1"}},
            "spec": {"containers": [{"name": "main", "image": "a:2"}], "nodeSelector": {"x": "y"}},
        }))
        .unwrap()
    }

    fn patched(patch: &Value, kind: Kind) -> Result<Value, String> {
        template(&current(), patch, kind).map(|template| serde_json::to_value(template).unwrap())
    }

    #[test]
    fn restart_adds_an_annotation_and_undo_replaces_everything() {
        let restart = json!({"spec": {"template": {"metadata": {"annotations": {"restartedAt": "now"}}}}});
        let restarted = patched(&restart, Kind::StrategicMerge).unwrap();
        assert_eq!(restarted["metadata"]["annotations"], json!({"one": "1", "restartedAt": "now"}));
        assert_eq!(restarted["spec"]["containers"][0]["image"], "a:2");
        let undo = json!({"spec": {"template": {
            "$patch": "replace", "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "main", "image": "a:1"}]}}}});
        let undone = patched(&undo, Kind::StrategicMerge).unwrap();
        assert_eq!(
            undone,
            undo["spec"]["template"]
                .as_object()
                .map(|template| {
                    let mut template = template.clone();
                    template.remove("$patch");
                    Value::Object(template)
                })
                .unwrap()
        );
        let merged = json!({"spec": {"template": {"spec": {
            "nodeSelector": null, "hostNetwork": true, "containers": [{"name": "other"}]}}}});
        let merged = patched(&merged, Kind::Merge).unwrap();
        assert_eq!(merged["spec"], json!({"hostNetwork": true, "containers": [{"name": "other"}]}));
    }

    #[test]
    fn what_cannot_be_patched_is_named() {
        for (patch, kind, part) in [
            (json!({"metadata": {}}), Kind::Merge, "metadata: only spec.template"),
            (json!({"spec": {"selector": {}}}), Kind::Merge, "spec.selector: only spec.template"),
            (json!({}), Kind::Merge, "the patch is empty"),
            (json!([]), Kind::Merge, "must be an object"),
            (
                json!({"spec": {"template": {"spec": {"containers": []}}}}),
                Kind::StrategicMerge,
                "spec.template.spec.containers: lists",
            ),
            (
                json!({"spec": {"template": {"spec": {"$setElementOrder/containers": []}}}}),
                Kind::StrategicMerge,
                "directive",
            ),
            (
                json!({"spec": {"template": {"spec": {"containers": 5}}}}),
                Kind::Merge,
                "leave a valid pod template",
            ),
        ] {
            let problem = patched(&patch, kind).unwrap_err();
            assert!(problem.contains(part), "{patch}: {problem}");
        }
        assert_eq!(Kind::of("application/merge-patch+json; charset=utf-8"), Some(Kind::Merge));
        assert_eq!(Kind::of("application/json-patch+json"), None);
    }
}
