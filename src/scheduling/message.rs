//! Why a pod waits, in the scheduler's words, and what an operator can do about it where the scheduler has none.
//!
//! Words: `FitError.Error` in `pkg/scheduler/framework/types.go`, the reasons of the plugins, `DefaultPreemption.PostFilter`.

use std::collections::BTreeSet;

use super::preemption::Preemption;
use super::{Candidate, Resident, Shortage};
use crate::pod::identity::PodUid;

pub(super) fn waiting(
    shortages: &[Shortage],
    preemption: &Preemption,
    candidate: &Candidate,
    residents: &[Resident],
    ending: &BTreeSet<PodUid>,
) -> String {
    let mut message = none_available(&reasons(shortages));
    if let Some(why) = why_nobody_goes(preemption) {
        message = format!("{message} preemption: {why}");
    }
    for hint in holders(shortages, residents) {
        message = format!("{message} {hint}");
    }
    if let Some(hint) = surge(preemption, candidate, residents, ending) {
        message = format!("{message} {hint}");
    }
    message
}

fn none_available(reasons: &BTreeSet<String>) -> String {
    let counted: Vec<String> = reasons.iter().map(|reason| format!("1 {reason}")).collect();
    format!("0/1 nodes are available: {}.", counted.join(", "))
}

fn reasons(shortages: &[Shortage]) -> BTreeSet<String> {
    let reason = |shortage: &Shortage| match shortage {
        Shortage::Pods => "Too many pods".to_owned(),
        Shortage::Resource { name, .. } => format!("Insufficient {name}"),
        Shortage::Port(_) => "node(s) didn't have free ports for the requested pod ports".to_owned(),
    };
    shortages.iter().map(reason).collect()
}

fn why_nobody_goes(preemption: &Preemption) -> Option<String> {
    let none = |reason: &str| none_available(&BTreeSet::from([reason.to_owned()]));
    match preemption {
        Preemption::Victims(_) => None,
        Preemption::AlreadyEnding => {
            Some("not eligible due to a terminating pod on the nominated node.".to_owned())
        }
        Preemption::NobodyLower => Some(none("No preemption victims found for incoming pod")),
        Preemption::NotEnough(missing) => Some(none_available(&reasons(missing))),
        Preemption::OfNoHelp => Some(none("Preemption is not helpful for scheduling")),
        Preemption::Never => Some("not eligible due to preemptionPolicy=Never.".to_owned()),
    }
}

/// Who has the ports.
fn holders(shortages: &[Shortage], residents: &[Resident]) -> Vec<String> {
    let wanted = shortages.iter().filter_map(|shortage| match shortage {
        Shortage::Port(port) => Some(port),
        Shortage::Pods | Shortage::Resource { .. } => None,
    });
    let held = wanted.filter_map(|port| {
        let holds = |it: &&Resident| it.demand.ports.iter().any(|held| held.conflicts_with(port));
        let holder = residents.iter().find(holds)?;
        let (namespace, name) = (&holder.daemon_set.namespace, &holder.name);
        Some(format!("Host port {port} is held by pod {namespace}/{name}."))
    });
    held.collect()
}

/// An update with surge can wait for what its own old pod has; that pod waits for it in turn.
fn surge(
    preemption: &Preemption,
    candidate: &Candidate,
    residents: &[Resident],
    ending: &BTreeSet<PodUid>,
) -> Option<String> {
    if matches!(preemption, Preemption::Victims(_) | Preemption::AlreadyEnding) {
        return None;
    }
    let is_own = |it: &&Resident| it.daemon_set == candidate.daemon_set && !ending.contains(&it.uid);
    let old = residents.iter().find(is_own)?;
    let (namespace, name) = (&old.daemon_set.namespace, &old.name);
    Some(format!(
        "With maxSurge the old pod {name} stays until this one is available; if it has what this one lacks, set maxSurge to 0 or run `daemonlet delete pod {name} -n {namespace}`."
    ))
}
