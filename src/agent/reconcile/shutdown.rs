//! The machine goes down: its pods end, and none is made, until it is up again.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::oneshot;

use super::tracked::Hand;
use super::{Reconciler, Tracked};
use crate::board::{EventDraft, EventKind, reference_to};
use crate::pod::failure::Failure;
use crate::pod::identity::PodUid;
use crate::rollout::decide::Life;
use crate::systemd::logind::Machine;

/// Pods that end for the shutdown, and whoever waits for it.
#[derive(Debug)]
pub(in crate::agent) struct Going {
    left: BTreeSet<PodUid>,
    ended: oneshot::Sender<()>,
}

impl Reconciler {
    /// Takes note that the machine goes down, or stays up after all.
    pub(in crate::agent) fn machine_goes(&mut self, machine: Machine) {
        if self.machine == machine {
            return;
        }
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

    /// The pods that have something to end, each with its priority. Those whose records are only being written are told to stop: they need
    /// not begin, and there is nothing to wait for.
    pub(in crate::agent) fn living(&mut self) -> Vec<(PodUid, i32)> {
        for tracked in self.pods.values_mut() {
            if let Hand::Recording { .. } = tracked.handle {
                tracked.life = Life::Ending;
                tracked.handle.stop("the machine goes down".into(), None);
            }
        }
        let priority = |tracked: &Tracked| tracked.pod.spec.as_ref().and_then(|spec| spec.priority);
        let living = self.pods.iter().filter(|(_, tracked)| has_something_to_end(tracked));
        living.map(|(uid, tracked)| (uid.clone(), priority(tracked).unwrap_or_default())).collect()
    }

    /// Ends pods because the machine goes down. They are replaced when it is up again.
    pub(in crate::agent) fn end_for_shutdown(
        &mut self,
        mut pods: BTreeSet<PodUid>,
        grace: Duration,
        ended: oneshot::Sender<()>,
    ) {
        pods.retain(|uid| self.pods.get(uid).is_some_and(has_something_to_end));
        for uid in &pods {
            if let Some(tracked) = self.pods.get(uid) {
                tracked.handle.fail(Failure::terminated(grace));
            }
        }
        // Nobody waits any more for those before them.
        self.going = Some(Going { left: pods, ended });
        self.tell_of_ended();
    }

    /// Takes note that nothing of a pod is left.
    pub(super) fn note_ended(&mut self, uid: &PodUid) {
        if let Some(going) = &mut self.going {
            going.left.remove(uid);
            self.tell_of_ended();
        }
    }

    fn tell_of_ended(&mut self) {
        if let Some(going) = self.going.take_if(|going| going.left.is_empty()) {
            // Whoever waited has given up, or the machine stays up.
            let _ = going.ended.send(());
        }
    }

    /// Ends a pod that was put to work although the machine goes down, before it begins.
    pub(super) fn keep_from_beginning(&self, tracked: &Tracked) {
        if self.machine == Machine::GoingDown {
            tracked.handle.fail(Failure::terminated(Duration::ZERO));
        }
    }
}

fn has_something_to_end(tracked: &Tracked) -> bool {
    matches!(tracked.handle, Hand::Working(_)) && tracked.life != Life::Failed
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
