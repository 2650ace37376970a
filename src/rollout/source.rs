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
