//! A verdict together with what it is about, as `explain -o json` and the API show it.
//!
//! Reasons are sentences here, so that a client can read what an agent of another version wrote.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use serde::{Deserialize, Serialize};

use super::{Outcome, UntoleratedTaint, decide};

/// Why a DaemonSet's pod runs on a node, or doesn't. The fields are those of [`super::Verdict`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the controller's answers, each asked for by its name")]
pub struct Explanation {
    /// The DaemonSet as `namespace/name`.
    pub daemon_set: String,
    /// The node's name.
    pub node: String,
    /// A pod is wanted here if none is.
    pub should_run: bool,
    /// A pod that is here may stay.
    pub should_continue_running: bool,
    /// The template names no node, or this one.
    pub fits_name: bool,
    /// The node selector and the required node affinity both hold.
    pub affinity_match: bool,
    /// The first taint that keeps the pod away.
    pub untolerated_taint: Option<UntoleratedTaint>,
    /// Why, a sentence each.
    pub reasons: Vec<String>,
}

impl Explanation {
    /// Decides about `daemon_set` on `node` and says why.
    pub fn of(node: &Node, daemon_set: &DaemonSet) -> Self {
        let verdict = decide(node, daemon_set);
        let metadata = &daemon_set.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let name = metadata.name.as_deref().unwrap_or_default();
        Self {
            daemon_set: format!("{namespace}/{name}"),
            node: node.metadata.name.clone().unwrap_or_default(),
            should_run: verdict.should_run,
            should_continue_running: verdict.should_continue_running,
            fits_name: verdict.fits_name,
            affinity_match: verdict.affinity_match,
            untolerated_taint: verdict.untolerated_taint,
            reasons: verdict.reasons.iter().map(ToString::to_string).collect(),
        }
    }

    /// What the two answers come to.
    pub const fn outcome(&self) -> Outcome {
        Outcome::of(self.should_run, self.should_continue_running)
    }
}
