//! What a seed makes happen, decided before anything does: the same seed is the same scenario on every machine.

use std::collections::BTreeSet;

use crate::kit::Chance;

/// The DaemonSets of a scenario, by what is special about their pods.
pub(super) const NAMES: [&str; 5] = ["plain", "host", "init", "stubborn", "hooked"];

/// One thing that is done to the node.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// A manifest is written or edited.
    Apply(&'static str),
    /// A manifest is deleted.
    Delete(&'static str),
    /// The agent is killed, and again so many milliseconds after each new start.
    KillAgent(Vec<u64>),
    /// The agent is told to end, and started again.
    RestartAgent,
    /// containerd is killed and started again.
    KillContainerd,
    /// containerd answers nothing for so many milliseconds, while something else happens.
    HangContainerd(u64, Box<Operation>),
    /// The shim of a pod is killed.
    KillShim(&'static str),
    /// A container of a pod is killed.
    KillContainer(&'static str),
    /// A container of a pod is removed through the CRI.
    RemoveContainer(&'static str),
    /// A pod's sandbox is stopped and removed through the CRI.
    RemoveSandbox(&'static str),
}

/// An operation, and how long it has before the next.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) operation: Operation,
    pub(super) milliseconds: u64,
    /// Whether the node is then given time to become as it should be, and must.
    pub(super) converge: bool,
}

impl Operation {
    /// The DaemonSet whose pod it may change.
    pub(super) fn target(&self) -> Option<&'static str> {
        match self {
            Self::Apply(name)
            | Self::Delete(name)
            | Self::KillShim(name)
            | Self::KillContainer(name)
            | Self::RemoveContainer(name)
            | Self::RemoveSandbox(name) => Some(name),
            Self::HangContainerd(_, other) => other.target(),
            Self::KillAgent(_) | Self::RestartAgent | Self::KillContainerd => None,
        }
    }
}

/// The steps of a seed. The last one converges.
pub(super) fn of_seed(seed: u64, length: usize) -> Vec<Step> {
    let mut chance = Chance::new(seed);
    let mut present = BTreeSet::new();
    let mut steps: Vec<Step> = (0..length)
        .map(|_| Step {
            operation: operation(&mut chance, &mut present),
            // Mostly in the middle of what the last operation has begun.
            milliseconds: if chance.below(4) == 0 { chance.below(1500) } else { chance.below(350) },
            converge: chance.below(4) == 0,
        })
        .collect();
    if let Some(last) = steps.last_mut() {
        last.converge = true;
    }
    steps
}

fn operation(chance: &mut Chance, present: &mut BTreeSet<&'static str>) -> Operation {
    let names: Vec<&'static str> = present.iter().copied().collect();
    let Some(name) = chance.pick(&names).copied() else { return manifest(chance, present) };
    match chance.below(20) {
        0..7 => manifest(chance, present),
        7..11 => Operation::KillAgent((0..=chance.below(3)).map(|_| chance.below(400)).collect()),
        11 => Operation::RestartAgent,
        12 => Operation::KillContainerd,
        13 | 14 => {
            let other = if chance.below(2) == 0 {
                manifest(chance, present)
            } else {
                Operation::KillAgent(vec![chance.below(200)])
            };
            Operation::HangContainerd(chance.below(1500), Box::new(other))
        }
        15 => Operation::KillShim(name),
        16 => Operation::KillContainer(name),
        17 => Operation::RemoveContainer(name),
        _ => Operation::RemoveSandbox(name),
    }
}

fn manifest(chance: &mut Chance, present: &mut BTreeSet<&'static str>) -> Operation {
    let name = *chance.pick(&NAMES).unwrap();
    // One of three, so that there is always something to disturb.
    if present.len() > 1 && present.contains(name) && chance.below(3) == 0 {
        present.remove(name);
        return Operation::Delete(name);
    }
    present.insert(name);
    Operation::Apply(name)
}
