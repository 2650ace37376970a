//! The answer of a placement decision.

use serde::Serialize;

/// Whether a DaemonSet's pod is wanted on this node, whether one that is here may stay, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// A pod is wanted here if none is.
    pub should_run: bool,
    /// A pod that is here may stay.
    pub should_continue_running: bool,
    /// The template names no node, or this one.
    pub fits_name: bool,
    /// The node selector and the required node affinity both hold.
    pub affinity_match: bool,
    /// The first NoSchedule or NoExecute taint that nothing tolerates, in the node's order.
    pub untolerated_taint: Option<UntoleratedTaint>,
    /// Why, one entry a cause; never empty.
    pub reasons: Vec<Reason>,
}

/// A taint that keeps the pod away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UntoleratedTaint {
    /// The taint's key.
    pub key: String,
    /// The taint's value, empty if it has none.
    pub value: String,
    /// `NoSchedule` or `NoExecute`.
    pub effect: String,
}

/// One cause, as a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reason(pub String);
