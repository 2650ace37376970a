//! What the node is short of, since when, and the words and taints for it.
//!
//! Whether it is short is `eviction`'s to say. Words: `pkg/kubelet/nodestatus/setters.go`; taints: those that the node lifecycle controller
//! gives to a node with such a condition (`pkg/controller/nodelifecycle`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeCondition, Taint};
use k8s_openapi::jiff::Timestamp;

use super::conditions::condition;

/// Something that a node can be short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PressureKind {
    /// Memory.
    Memory,
    /// Room or inodes on a disk.
    Disk,
    /// Processes.
    Pid,
}

/// Whether the node is short of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strain {
    /// Whether it is.
    pub present: bool,
    /// Since when it is, or isn't any more.
    pub since: Timestamp,
}

/// What the node is short of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pressure {
    memory: Strain,
    disk: Strain,
    pid: Strain,
}

impl PressureKind {
    /// All of them, in the order of a node's conditions.
    pub const ALL: [Self; 3] = [PressureKind::Memory, PressureKind::Disk, PressureKind::Pid];

    /// The type of the node's condition.
    pub const fn condition(self) -> &'static str {
        match self {
            PressureKind::Memory => "MemoryPressure",
            PressureKind::Disk => "DiskPressure",
            PressureKind::Pid => "PIDPressure",
        }
    }

    /// The key of the taint that keeps pods away which do not tolerate it.
    pub const fn taint_key(self) -> &'static str {
        match self {
            PressureKind::Memory => "node.kubernetes.io/memory-pressure",
            PressureKind::Disk => "node.kubernetes.io/disk-pressure",
            PressureKind::Pid => "node.kubernetes.io/pid-pressure",
        }
    }

    /// The reason of the Event that tells of a change.
    pub const fn event(self, present: bool) -> &'static str {
        match (self, present) {
            (PressureKind::Memory, true) => "NodeHasInsufficientMemory",
            (PressureKind::Memory, false) => "NodeHasSufficientMemory",
            (PressureKind::Disk, true) => "NodeHasDiskPressure",
            (PressureKind::Disk, false) => "NodeHasNoDiskPressure",
            (PressureKind::Pid, true) => "NodeHasInsufficientPID",
            (PressureKind::Pid, false) => "NodeHasSufficientPID",
        }
    }

    const fn words(self, present: bool) -> (&'static str, &'static str) {
        match (self, present) {
            (PressureKind::Memory, true) => {
                ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
            }
            (PressureKind::Memory, false) => {
                ("KubeletHasSufficientMemory", "kubelet has sufficient memory available")
            }
            (PressureKind::Disk, true) => ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            (PressureKind::Disk, false) => ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            (PressureKind::Pid, true) => {
                ("KubeletHasInsufficientPID", "kubelet has insufficient PID available")
            }
            (PressureKind::Pid, false) => ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        }
    }
}

impl Pressure {
    /// None of anything, since then.
    pub const fn none(since: Timestamp) -> Self {
        let calm = Strain { present: false, since };
        Self { memory: calm, disk: calm, pid: calm }
    }

    /// Whether the node is short of this.
    pub const fn of(&self, kind: PressureKind) -> Strain {
        match kind {
            PressureKind::Memory => self.memory,
            PressureKind::Disk => self.disk,
            PressureKind::Pid => self.pid,
        }
    }

    /// What it is short of.
    pub fn present(&self) -> BTreeSet<PressureKind> {
        PressureKind::ALL.into_iter().filter(|kind| self.of(*kind).present).collect()
    }

    /// The same node when it is short of exactly these, and what has changed with that. What has not changed keeps its time.
    pub fn become_of(
        &mut self,
        present: &BTreeSet<PressureKind>,
        now: Timestamp,
    ) -> Vec<(PressureKind, bool)> {
        let mut changed = Vec::new();
        for kind in PressureKind::ALL {
            let is_now = present.contains(&kind);
            let strain = match kind {
                PressureKind::Memory => &mut self.memory,
                PressureKind::Disk => &mut self.disk,
                PressureKind::Pid => &mut self.pid,
            };
            if strain.present != is_now {
                *strain = Strain { present: is_now, since: now };
                changed.push((kind, is_now));
            }
        }
        changed
    }

    pub(super) fn conditions(&self) -> impl Iterator<Item = NodeCondition> {
        PressureKind::ALL.into_iter().map(|kind| {
            let Strain { present, since } = self.of(kind);
            let (reason, message) = kind.words(present);
            condition(kind.condition(), if present { "True" } else { "False" }, reason, message, since)
        })
    }

    pub(super) fn taints(&self) -> impl Iterator<Item = Taint> {
        self.present().into_iter().map(|kind| Taint {
            key: kind.taint_key().to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn a_condition_s_time_moves_only_when_its_answer_does() {
        use PressureKind::{Disk, Memory};
        let mut pressure = Pressure::none(at(0));
        assert_eq!(pressure.become_of(&[Disk].into(), at(10)), [(Disk, true)]);
        assert_eq!(pressure.become_of(&[Disk, Memory].into(), at(20)), [(Memory, true)]);
        assert_eq!(pressure.become_of(&[Memory].into(), at(30)), [(Disk, false)]);
        assert_eq!(pressure.become_of(&[Memory].into(), at(40)), []);
        let told: Vec<_> = (pressure.conditions())
            .map(|it| {
                (it.type_, it.status, it.reason.unwrap(), it.last_transition_time.unwrap().0.as_second())
            })
            .collect();
        let row = |kind: &str, status: &str, reason: &str, since| {
            (kind.to_owned(), status.to_owned(), reason.to_owned(), since)
        };
        assert_eq!(
            told,
            [
                row("MemoryPressure", "True", "KubeletHasInsufficientMemory", 20),
                row("DiskPressure", "False", "KubeletHasNoDiskPressure", 30),
                row("PIDPressure", "False", "KubeletHasSufficientPID", 0),
            ]
        );
        let taints: Vec<_> = pressure.taints().map(|taint| (taint.key, taint.effect)).collect();
        let expected = ("node.kubernetes.io/memory-pressure".to_owned(), "NoSchedule".to_owned());
        assert_eq!(taints, [expected]);
    }
}
