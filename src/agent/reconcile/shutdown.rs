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
        let (reason, message) = match machine {
            Machine::GoingDown => ("NodeShutdown", "Shutdown manager detected shutdown event"),
            Machine::Up => ("NodeShutdown", "Shutdown was cancelled"),
        };
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
