//! The revision of a pod template: a hash over its canonical form.
//!
//! The hash must be the same for every way of writing the same template, today and after an upgrade of the agent, because another
//! hash means another pod. So it is taken over the *defaulted* template as JSON with sorted keys, from which everything empty is left
//! out: a field that this or a later release learns of changes no hash until a manifest uses it. What the canonical form contains is
//! numbered ([`HASH_VERSION`]) and each pod remembers its number; a pod of another number is compared field by field ([`is_same_pod`]),
//! because its hash says nothing about the template. Rule: `pkg/controller/daemon/update.go`.

use std::fmt;

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::pod::blueprint::{REVISION_HASH_LABEL, TEMPLATE_GENERATION_LABEL};

/// The number of the canonical form that [`revision_of`] hashes.
pub const HASH_VERSION: u32 = 1;

/// The hash of a template, as in the label `controller-revision-hash`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevisionHash(String);

impl RevisionHash {
    /// Takes a hash found in a label or on disk.
    pub fn from_label(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RevisionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The revision of a defaulted template.
pub fn revision_of(template: &PodTemplateSpec) -> RevisionHash {
    let canonical = canonical(template).to_string();
    let mut digest = Sha256::new_with_prefix(b"daemonlet/revision/1");
    digest.update(canonical.as_bytes());
    let digest: [u8; 32] = digest.finalize().into();
    RevisionHash(hex(&digest[..5]))
}

/// The template as JSON without what is empty. `serde_json` keeps the keys of an object sorted.
pub(super) fn canonical(template: &PodTemplateSpec) -> Value {
    let mut value = serde_json::to_value(template).unwrap_or(Value::Null);
    prune(&mut value);
    value
}

/// Whether two pods are the same but for what tells one pod from another: name, UID, revision, and what the node has said of them.
pub fn is_same_pod(one: &Pod, other: &Pod) -> bool {
    comparable(one) == comparable(other)
}

fn comparable(pod: &Pod) -> Value {
    let mut labels = pod.metadata.labels.clone().unwrap_or_default();
    labels.retain(|label, _| label != REVISION_HASH_LABEL && label != TEMPLATE_GENERATION_LABEL);
    let mut value = json!({"labels": labels, "annotations": pod.metadata.annotations, "spec": pod.spec});
    prune(&mut value);
    value
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|name, field| !is_empty(name, field));
        }
        // An entry of a list counts even when it is empty: `[{}]` and `[]` differ (an empty toleration is none).
        Value::Array(entries) => entries.iter_mut().for_each(prune),
        _ => {}
    }
}

/// Empty in the sense of Go's `omitempty`, except `false` and `0`, which can be a user's decision against a default, and except
/// the few objects that say something by being there.
fn is_empty(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => {
            fields.is_empty() && !matches!(name, "emptyDir" | "labelSelector" | "namespaceSelector")
        }
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_compared_by_their_fields_whatever_their_hashes_say() {
        let pod = |name: &str, hash: &str, image: &str, extra: Value| -> Pod {
            let mut pod = json!({
                "metadata": {"name": name, "labels": {"app": "a", REVISION_HASH_LABEL: hash}},
                "spec": {"containers": [{"name": "main", "image": image}], "nodeName": "n"},
            });
            if let (Some(spec), Value::Object(extra)) = (pod["spec"].as_object_mut(), extra) {
                spec.extend(extra);
            }
            serde_json::from_value(pod).expect("a pod")
        };
        let old = pod("a-1", "older", "a:1", json!({}));
        assert!(is_same_pod(&old, &pod("a-2", "newer", "a:1", json!({"volumes": []}))));
        assert!(!is_same_pod(&old, &pod("a-2", "older", "a:2", json!({}))));
        assert!(!is_same_pod(&old, &pod("a-2", "older", "a:1", json!({"hostNetwork": true}))));
    }

    fn hash(template: Value) -> RevisionHash {
        revision_of(&serde_json::from_value(template).expect("a template"))
    }

    #[test]
    fn the_hash_of_a_template_never_changes() {
        let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
        assert_eq!(hash(template).as_str(), "c302ec9c21");
    }

    #[test]
    fn writing_out_what_is_empty_changes_nothing() {
        let plain = json!({"spec": {"containers": [{"name": "c", "image": "i:1"}]}});
        let wordy = json!({"metadata": {"creationTimestamp": null}, "spec": {"containers": [{"image": "i:1", "name": "c", "env": [], "workingDir": "", "resources": {}}], "volumes": null}});
        assert_eq!(hash(plain), hash(wordy));
    }

    #[test]
    fn any_change_of_the_template_changes_the_hash() {
        let plain = json!({"spec": {"containers": [{"name": "c", "image": "i:1"}]}});
        for other in [
            json!({"spec": {"containers": [{"name": "c", "image": "i:2"}]}}),
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}),
            json!({"spec": {"containers": [{"name": "c", "image": "i:1"}], "enableServiceLinks": false}}),
            json!({"spec": {"containers": [{"name": "c", "image": "i:1"}], "terminationGracePeriodSeconds": 0}}),
        ] {
            assert_ne!(hash(plain.clone()), hash(other));
        }
    }
}
