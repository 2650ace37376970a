//! The machine goes down: its pods end, and none is made, until it is up again.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Reconciler;
use crate::board::{EventDraft, EventKind, reference_to};
use crate::pod::identity::PodUid;
use crate::systemd::logind::Machine;

impl Reconciler {
    /// Takes note that the machine goes down, or stays up after all.
    pub(in crate::agent) fn machine_goes(&mut self, machine: Machine) {
        self.machine = machine;
        let node = self.node.borrow();
        let (reason, message) = event(machine);
        self.context.board.record(EventDraft {
            regarding: reference_to(node.as_ref()),
            kind: EventKind::Normal,
            reason: reason.to_owned(),
            message: message.to_owned(),
            component: "kubelet",
            at: self.context.clock.wall(),
        });
    }

    /// Ends pods because the machine goes down. They are replaced when it is up again.
    pub(in crate::agent) fn end_for_shutdown(&mut self, pods: &BTreeSet<PodUid>, grace: Duration) {
        for uid in pods {
            if let Some(tracked) = self.pods.get_mut(uid) {
                tracked.handle.end_for_shutdown(grace);
            }
        }
    }
}

/// Reason and message of the node's Event, as the kubelet's `nodeshutdown` has them.
const fn event(machine: Machine) -> (&'static str, &'static str) {
    match machine {
        Machine::GoingDown => ("Shutdown", "Shutdown manager detected shutdown event"),
        Machine::Up => ("Shutdown", "Shutdown manager detected shutdown cancellation"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_and_its_cancellation_are_told_in_the_kubelets_words() {
        assert_eq!(event(Machine::GoingDown), ("Shutdown", "Shutdown manager detected shutdown event"));
        assert_eq!(event(Machine::Up), ("Shutdown", "Shutdown manager detected shutdown cancellation"));
    }
}
