//! What to do about a DaemonSet's pods on this node: which to start, which to stop, and why.
//!
//! `podsShouldBeOnNode`, `manage` and `rollingUpdate` of `pkg/controller/daemon`, for a fleet of one node. On one node every legal
//! `maxUnavailable` comes out as at least 1, and every non-zero `maxSurge` as 1; what is left of the strategy is its kind.

use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::backoff::Turn;
use crate::placement::Verdict;
use crate::pod::disruption::{Cause, Disruption};
use crate::pod::identity::PodUid;

/// How an update replaces pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateStrategy {
    /// The old pod is stopped, then the new one is started.
    Replace,
    /// The new pod is started beside the old one, which stops once the new one is available.
    Surge,
    /// The old pod stays until somebody deletes it.
    OnDelete,
}

impl UpdateStrategy {
    /// The strategy of a defaulted and validated DaemonSet.
    pub fn of(daemon_set: &DaemonSet) -> Self {
        let Some(strategy) = daemon_set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref()) else {
            return UpdateStrategy::Replace;
        };
        if strategy.type_.as_deref() == Some("OnDelete") {
            return UpdateStrategy::OnDelete;
        }
        let surge = strategy.rolling_update.as_ref().and_then(|rolling| rolling.max_surge.as_ref());
        match surge {
            Some(IntOrString::Int(count)) if *count > 0 => UpdateStrategy::Surge,
            Some(IntOrString::String(percent))
                if percent.trim_end_matches('%').parse::<u32>().is_ok_and(|n| n > 0) =>
            {
                UpdateStrategy::Surge
            }
            _ => UpdateStrategy::Replace,
        }
    }
}

/// How long a pod of the DaemonSet is ready before it counts as available (`minReadySeconds`).
pub fn min_ready(daemon_set: &DaemonSet) -> Duration {
    let seconds = daemon_set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default();
    u64::try_from(seconds).map_or(Duration::ZERO, Duration::from_secs)
}

/// What is known of one pod of the DaemonSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// Which pod.
    pub uid: PodUid,
    /// Whether it was made from the current template.
    pub generation: Generation,
    /// How long it has been Ready; `None` while it is not.
    pub ready_for: Option<Duration>,
    /// Where it is in its life.
    pub life: Life,
    /// A number that grows with age: of two pods the one with the smaller number was made first.
    pub order: u64,
}

/// Whether a pod was made from the current template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// From the current template.
    Current,
    /// From an earlier one.
    Old,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It is starting or running.
    Live,
    /// It has failed: nothing of it runs, but it has its place on the node until it is removed.
    Failed,
    /// It was told to stop and is not gone yet.
    Ending,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a pod of the current revision.
    Start,
    /// Stop this pod gracefully.
    Stop {
        /// Which pod.
        uid: PodUid,
        /// Why.
        why: StopReason,
    },
}

/// Why a pod is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The node's labels or taints no longer admit it.
    NotPlaced,
    /// The template has changed.
    Outdated,
    /// The DaemonSet has more pods here than it should.
    Surplus,
    /// It has failed, and another takes its place.
    Failed,
    /// It tolerates a NoExecute taint of the node not at all, or not for longer.
    Tainted,
    /// A pod of higher priority needs its place.
    Preempted,
    /// Somebody asked for it through the API.
    Deleted,
    /// The DaemonSet left the store.
    DaemonSetDeleted,
    /// The node leaves the fleet, or daemonlet leaves the node.
    NodeLeaves,
}

impl StopReason {
    /// What the pod's worker is told.
    pub const fn cause(self) -> Cause {
        let disruption = match self {
            StopReason::Preempted => Some(Disruption::PreemptionByScheduler),
            StopReason::Tainted => Some(Disruption::DeletionByTaintManager),
            StopReason::NotPlaced
            | StopReason::Outdated
            | StopReason::Surplus
            | StopReason::Failed
            | StopReason::Deleted
            | StopReason::DaemonSetDeleted
            | StopReason::NodeLeaves => None,
        };
        Cause { reason: self.as_str(), disruption }
    }

    /// As a sentence for Events and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            StopReason::NotPlaced => "the DaemonSet no longer belongs on this node",
            StopReason::Outdated => "the pod template has changed",
            StopReason::Surplus => "the DaemonSet has another pod on this node",
            StopReason::Failed => "the pod has failed",
            StopReason::Tainted => {
                "the pod does not tolerate a NoExecute taint of the node, or not for longer"
            }
            StopReason::Preempted => "a pod of higher priority needs its place",
            StopReason::Deleted => "the pod was deleted through the API",
            StopReason::DaemonSetDeleted => "the DaemonSet was deleted from the store",
            StopReason::NodeLeaves => "daemonlet leaves the node",
        }
    }
}

/// Decides about a DaemonSet that is in the store. Steps are independent of one another and may be taken in any order.
/// `failed` says whether pods that have failed may be replaced yet.
pub fn decide(
    strategy: UpdateStrategy,
    min_ready: Duration,
    verdict: &Verdict,
    pods: &[PodFacts],
    failed: Turn,
) -> Vec<Step> {
    let mut live: Vec<&PodFacts> = pods.iter().filter(|pod| pod.life == Life::Live).collect();
    live.sort_by_key(|pod| pod.order);
    let any_ending = pods.iter().any(|pod| pod.life == Life::Ending);
    let has_failed: Vec<&PodFacts> = pods.iter().filter(|pod| pod.life == Life::Failed).collect();

    if !verdict.should_continue_running {
        return live.iter().chain(&has_failed).map(|pod| stop(pod, StopReason::NotPlaced)).collect();
    }
    let mut steps = Vec::new();
    if failed == Turn::Now {
        steps.extend(has_failed.iter().map(|pod| stop(pod, StopReason::Failed)));
    }
    let (current, old): (Vec<_>, Vec<_>) =
        live.into_iter().partition(|pod| pod.generation == Generation::Current);
    let (keep_current, surplus_current) = first_and_rest(&current);
    let (keep_old, surplus_old) = first_and_rest(&old);
    steps.extend(surplus_current.iter().chain(surplus_old).map(|pod| stop(pod, StopReason::Surplus)));

    match (keep_old, keep_current, strategy) {
        // A failed pod has its place until it is removed.
        (None, None, _) if !has_failed.is_empty() => {}
        // One beside another is all that a surge asks for, whatever the other is about to do.
        (None | Some(_), None, UpdateStrategy::Surge) if verdict.should_run && pods.len() > 1 => {}
        (None, None, UpdateStrategy::Surge) if verdict.should_run => steps.push(Step::Start),
        // A successor waits until its predecessor is known to be gone: the ports and files of one are free before the next starts.
        (None, None, _) if verdict.should_run && !any_ending => steps.push(Step::Start),
        (Some(old), None, UpdateStrategy::Replace) => steps.push(stop(old, StopReason::Outdated)),
        (Some(old), None, UpdateStrategy::Surge) => {
            steps.push(if verdict.should_run { Step::Start } else { stop(old, StopReason::Outdated) });
        }
        // Two live pods without surge: the one made first stays, whatever its revision (`podsShouldBeOnNode`); the update is for later.
        (Some(old), Some(new), UpdateStrategy::Replace | UpdateStrategy::OnDelete) => {
            let later = if old.order < new.order { new } else { old };
            steps.push(stop(later, StopReason::Surplus));
        }
        (Some(old), Some(new), UpdateStrategy::Surge) => {
            if old.ready_for.is_none() || is_available(new, min_ready) {
                steps.push(stop(old, StopReason::Outdated));
            }
        }
        (None, _, _) | (Some(_), None, UpdateStrategy::OnDelete) => {}
    }
    steps
}

/// Leaves out of the steps what an update would disturb: the old pod stays, and no successor is started beside it.
pub fn without_update(steps: Vec<Step>, pods: &[PodFacts]) -> Vec<Step> {
    let has_old = pods.iter().any(|pod| pod.life == Life::Live && pod.generation == Generation::Old);
    let disturbs = |step: &Step| match step {
        Step::Start => has_old,
        Step::Stop { why, .. } => *why == StopReason::Outdated,
    };
    steps.into_iter().filter(|step| !disturbs(step)).collect()
}

/// Decides about a DaemonSet that has left the store.
pub fn decide_deleted(pods: &[PodFacts]) -> Vec<Step> {
    pods.iter()
        .filter(|pod| pod.life != Life::Ending)
        .map(|pod| stop(pod, StopReason::DaemonSetDeleted))
        .collect()
}

/// Ready for longer than `minReadySeconds`; at once when that is zero (`IsPodAvailable` in `pkg/api/v1/pod`).
pub fn is_available(pod: &PodFacts, min_ready: Duration) -> bool {
    pod.ready_for.is_some_and(|ready_for| min_ready.is_zero() || ready_for > min_ready)
}

fn stop(pod: &PodFacts, why: StopReason) -> Step {
    Step::Stop { uid: pod.uid.clone(), why }
}

fn first_and_rest<'a, 'b>(pods: &'b [&'a PodFacts]) -> (Option<&'a PodFacts>, &'b [&'a PodFacts]) {
    match pods {
        [] => (None, &[]),
        [first, rest @ ..] => (Some(first), rest),
    }
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
