//! The answer of a placement decision.

use serde::{Deserialize, Serialize};

use super::reason::Reason;
use super::tolerations::TaintEffect;

/// Whether a DaemonSet's pod is wanted on this node, whether one that is here may stay, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the controller's answers, each asked for by its name")]
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
    /// Why: what speaks for running if the pod should run, else all that stands in the way. Never empty.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// The same, for a node that runs no pods at all at present.
    #[must_use]
    pub fn drained(self) -> Self {
        let reasons = vec![Reason::Drained];
        Self { should_run: false, should_continue_running: false, reasons, ..self }
    }

    /// The two answers as the one of three that they make.
    pub const fn outcome(&self) -> Outcome {
        Outcome::of(self.should_run, self.should_continue_running)
    }
}

/// What a verdict comes to. The fourth combination, wanted but not allowed to stay, never occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A pod is made if none is here.
    Run,
    /// No pod is made; one that is here stays.
    Stay,
    /// No pod is made; one that is here is removed.
    Gone,
}

impl Outcome {
    /// What the two answers come to.
    pub(super) const fn of(should_run: bool, should_continue_running: bool) -> Self {
        match (should_run, should_continue_running) {
            (true, _) => Outcome::Run,
            (false, true) => Outcome::Stay,
            (false, false) => Outcome::Gone,
        }
    }
}

/// A taint that keeps the pod away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UntoleratedTaint {
    /// The taint's key.
    pub key: String,
    /// The taint's value, empty if it has none.
    pub value: String,
    /// What the taint does.
    pub effect: TaintEffect,
}
