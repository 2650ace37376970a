//! Does a new pod fit on this node, and whom does it displace if not: the scheduler's answers, for a fleet of one node.
//!
//! Pure: what the node can give, the pods that are here and those that want to be in, an [`Outcome`] for each of the latter out.
//! `placement` has said before that they belong here; labels and taints must not be weighed again. Rules: the plugins `NodeResourcesFit`,
//! `NodePorts` and `DefaultPreemption` of Kubernetes' `pkg/scheduler/framework/plugins`, and `PrioritySort` for the order.
//!
//! Knowingly otherwise than the scheduler: room that pods leave which are already ending is waited for, and nobody is displaced for what
//! comes free by itself. So nothing must be remembered of a preemption: the next round, or the next agent, comes to the same answer.

mod demand;
mod host_port;
mod message;
mod preemption;
mod room;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

pub use demand::Demand;
pub use host_port::HostPort;
pub use room::{Allocatable, Room, Shortage};

use crate::manifest::DaemonSetKey;
use crate::pod::identity::PodUid;
use preemption::Preemption;

/// A pod that has its place on the node, until nothing of it runs any more.
#[derive(Debug, Clone)]
pub struct Resident {
    /// Which pod.
    pub uid: PodUid,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub daemon_set: DaemonSetKey,
    /// `spec.priority`
    pub priority: i32,
    /// What it takes up.
    pub demand: Demand,
    /// Whether it is there to stay.
    pub stay: Stay,
    /// When it was made, in seconds: of two pods with one priority the older one weighs more.
    pub created: i64,
}

/// Whether a pod is there to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// It is.
    Stays,
    /// It was told to end; its place is free once it is gone.
    Ends,
}

/// A pod that wants a place.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Whose it is.
    pub daemon_set: DaemonSetKey,
    /// `spec.priority`
    pub priority: i32,
    /// `spec.preemptionPolicy`
    pub preemption: PreemptionPolicy,
    /// What it would take up.
    pub demand: Demand,
}

/// Whether a pod may take the place of pods of lower priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreemptionPolicy {
    /// It may.
    PreemptLowerPriority,
    /// It waits until there is room.
    Never,
}

impl PreemptionPolicy {
    /// The policy of a pod.
    pub fn of(pod: &Pod) -> Self {
        let policy = pod.spec.as_ref().and_then(|spec| spec.preemption_policy.as_deref());
        if policy == Some("Never") { Self::Never } else { Self::PreemptLowerPriority }
    }
}

/// What becomes of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It fits, and has its place from now on.
    Bind,
    /// It waits.
    Wait {
        /// Why, in the scheduler's words.
        message: String,
        /// The pods that have to go for it. All are of lower priority.
        victims: Vec<PodUid>,
        /// Whether it will fit once they are gone, and those that are ending already: its place is kept for it.
        is_nominated: bool,
    },
}

/// Decides about every candidate, the one of the highest priority first. The answers are in that order, with the index of the candidate.
///
/// A candidate for which room is being made has it reserved: no later one can take it.
pub fn schedule(
    allocatable: &Allocatable,
    residents: &[Resident],
    candidates: &[Candidate],
) -> Vec<(usize, Outcome)> {
    let mut queue: Vec<usize> = (0..candidates.len()).collect();
    queue.sort_by_key(|index| (Reverse(candidates[*index].priority), &candidates[*index].daemon_set));
    let mut room = Room::new(allocatable);
    for resident in residents {
        room.take(&resident.demand);
    }
    let mut ending: BTreeSet<PodUid> =
        residents.iter().filter(|it| it.stay == Stay::Ends).map(|it| it.uid.clone()).collect();
    let mut outcomes = Vec::new();
    for index in queue {
        let candidate = &candidates[index];
        let shortages = room.shortages(&candidate.demand);
        let outcome = if shortages.is_empty() {
            room.take(&candidate.demand);
            Outcome::Bind
        } else {
            let found = preemption::look(&room, residents, &ending, candidate);
            let is_nominated = matches!(found, Preemption::AlreadyEnding | Preemption::Victims(_));
            if is_nominated {
                room.take(&candidate.demand);
            }
            let message = message::waiting(&shortages, &found, candidate, residents, &ending);
            let victims = if let Preemption::Victims(victims) = found { victims } else { Vec::new() };
            ending.extend(victims.iter().cloned());
            Outcome::Wait { message, victims, is_nominated }
        };
        outcomes.push((index, outcome));
    }
    outcomes
}

/// Whether a pod waits for a place: nothing of it is in the runtime.
pub fn is_unscheduled(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
}
