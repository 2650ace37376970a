//! Which pods of lower priority make room for one that doesn't fit.
//!
//! Rule: `SelectVictimsOnNode` of `plugins/defaultpreemption`: all lower ones are taken away in thought; if the pod then fits, as many as
//! possible are put back, the most important first (`MoreImportantPod`: higher priority, then older). There are no disruption budgets here.
//! A pod of the same or a higher priority is never touched.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{Candidate, PreemptionPolicy, Resident, Room, Shortage};
use crate::pod::identity::PodUid;

/// What making room comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Preemption {
    /// It fits once the pods are gone that are ending already.
    AlreadyEnding,
    /// It fits once these are gone, too.
    Victims(Vec<PodUid>),
    /// No pod of lower priority is here.
    NobodyLower,
    /// Not even all pods of lower priority would be enough: this would still be missing.
    NotEnough(Vec<Shortage>),
    /// It asks for more than the whole node has.
    OfNoHelp,
    /// The pod displaces nobody.
    Never,
}

pub(super) fn look(
    room: &Room<'_>,
    residents: &[Resident],
    ending: &BTreeSet<PodUid>,
    candidate: &Candidate,
) -> Preemption {
    let mut room = room.clone();
    residents.iter().filter(|it| ending.contains(&it.uid)).for_each(|it| room.give_back(&it.demand));
    let shortages = room.shortages(&candidate.demand);
    if shortages.is_empty() {
        return Preemption::AlreadyEnding;
    }
    if candidate.preemption == PreemptionPolicy::Never {
        return Preemption::Never;
    }
    if shortages.iter().any(|shortage| matches!(shortage, Shortage::Resource { beyond: true, .. })) {
        return Preemption::OfNoHelp;
    }
    let is_lower = |it: &&Resident| it.priority < candidate.priority && !ending.contains(&it.uid);
    let mut lower: Vec<&Resident> = residents.iter().filter(is_lower).collect();
    if lower.is_empty() {
        return Preemption::NobodyLower;
    }
    for it in &lower {
        room.give_back(&it.demand);
    }
    let missing = room.shortages(&candidate.demand);
    if !missing.is_empty() {
        return Preemption::NotEnough(missing);
    }
    lower.sort_by_key(|it| (Reverse(it.priority), it.created, &it.daemon_set));
    let mut victims = Vec::new();
    for resident in lower {
        room.take(&resident.demand);
        if !room.fits(&candidate.demand) {
            room.give_back(&resident.demand);
            victims.push(resident.uid.clone());
        }
    }
    Preemption::Victims(victims)
}
