//! Where a DaemonSet's template comes from: the store, or a template that stands in for one of the store's.
//!
//! The store can't be written from a node. What `rollout undo`, `rollout restart` and a roll-back by the agent itself change is therefore a
//! template of this node's, tied to the one of the store that it stands in for: when the store brings another, that one counts. Pure.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RevisionHash, revision_of};

/// A template that stands in for one of the store's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// The revision of the store's template. It counts while the store has this one.
    pub of: RevisionHash,
    /// The template that counts instead.
    pub template: Box<PodTemplateSpec>,
    /// Why.
    pub cause: OverrideCause,
    /// Since when.
    pub at: Timestamp,
}

/// Why a template stands in for the store's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OverrideCause {
    /// Somebody asked for it through the API.
    Asked {
        /// Who, as far as is known (`kubectl-rollout`).
        by: String,
    },
    /// The store's did not become available in its time.
    RolledBack,
}

/// What `kubectl rollout restart` sets, so that a template counts as another.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Whether both templates run the same: at most one was restarted since.
pub fn is_same_but_restarted(one: &PodTemplateSpec, other: &PodTemplateSpec) -> bool {
    let plain = |template: &PodTemplateSpec| {
        let mut template = template.clone();
        if let Some(metadata) = &mut template.metadata
            && let Some(annotations) = &mut metadata.annotations
        {
            annotations.remove(RESTARTED_AT);
        }
        revision_of(&template)
    };
    plain(one) == plain(other)
}

impl Override {
    /// Whether it counts for a DaemonSet as the store has it.
    pub fn counts_for(&self, daemon_set: &DaemonSet) -> bool {
        daemon_set.spec.as_ref().is_some_and(|spec| revision_of(&spec.template) == self.of)
    }

    /// The DaemonSet as it counts: the store's with this template.
    pub fn applied(&self, daemon_set: &DaemonSet) -> DaemonSet {
        let mut applied = daemon_set.clone();
        if let Some(spec) = &mut applied.spec {
            spec.template = PodTemplateSpec::clone(&self.template);
        }
        applied
    }

    /// In words, for people.
    pub fn describe(&self) -> String {
        let store = &self.of;
        match &self.cause {
            OverrideCause::Asked { by } => {
                format!("asked for by {by}; counts until the store brings another template than {store}")
            }
            OverrideCause::RolledBack => format!(
                "rolled back: {store} of the store did not become available in its time; held until the store brings another"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_restart_is_the_same_template_and_nothing_else_is() {
        let template = |annotations: serde_json::Value, image: &str| -> PodTemplateSpec {
            serde_json::from_value(json!({
                "metadata": {"labels": {"a": "b"}, "annotations": annotations},
                "spec": {"containers": [{"name": "main", "image": image}]},
            }))
            .unwrap()
        };
        let plain = template(json!({"x": "y"}), "a:1");
        let restarted = template(json!({"x": "y", "kubectl.kubernetes.io/restartedAt": "now"}), "a:1");
        assert!(is_same_but_restarted(&plain, &restarted));
        assert!(is_same_but_restarted(&restarted, &plain));
        let mut bare = plain.clone();
        bare.metadata.as_mut().unwrap().annotations = None;
        let only = template(json!({"kubectl.kubernetes.io/restartedAt": "now"}), "a:1");
        assert!(is_same_but_restarted(&bare, &only));
        assert!(!is_same_but_restarted(&plain, &template(json!({"x": "y"}), "evil:1")));
        assert!(!is_same_but_restarted(&plain, &template(json!({"x": "z"}), "a:1")));
    }
}
