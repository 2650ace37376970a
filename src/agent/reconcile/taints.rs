//! Pods that the node's NoExecute taints drive away, at once or after the time that they tolerate them for.
//!
//! When a pod's time began is derived from what is on disk (the taint's time, the pod's record); within the life of an agent it is then
//! counted by the monotonic clock, so that a clock that is set meanwhile neither shortens nor prolongs it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;

use super::{Reconciler, Tracked, earliest};
use crate::board::{EventDraft, EventKind, reference_to};
use crate::placement::{Leave, leave};
use crate::pod::identity::PodUid;
use crate::rollout::decide::{Life, StopReason};
use crate::systemd::logind::Machine;

/// When a pod has to go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    /// By the wall clock, as it was derived.
    end: Timestamp,
    /// By the monotonic clock.
    at: Duration,
}

impl Reconciler {
    /// Stops the pods whose time is over. Says when that of the next one is.
    pub(super) fn end_tainted(&mut self, node: &Node) -> Option<Duration> {
        if self.machine == Machine::GoingDown {
            return None;
        }
        let clock = self.context.clock;
        let (now, wall) = (clock.monotonic(), clock.wall());
        let mut due = None;
        let mut over = Vec::new();
        let mut reprieved = Vec::new();
        for (uid, tracked) in self.pods.iter_mut().filter(|(_, tracked)| tracked.life == Life::Live) {
            match leave_of(tracked, node) {
                Leave::None => over.push(uid.clone()),
                Leave::Unlimited => {
                    if tracked.deadline.take().is_some() {
                        reprieved.push(uid.clone());
                    }
                }
                Leave::Until { end, tolerated } => {
                    let known = tracked.deadline.filter(|known| known.end == end);
                    let deadline = known.unwrap_or_else(|| {
                        let left = Duration::try_from(end.duration_since(wall)).unwrap_or_default();
                        Deadline { end, at: now + left.min(tolerated) }
                    });
                    tracked.deadline = Some(deadline);
                    let left = deadline.at.saturating_sub(now);
                    if left.is_zero() {
                        over.push(uid.clone());
                    } else {
                        due = earliest(due, Some(left));
                    }
                }
            }
        }
        for uid in reprieved {
            self.tell_of_taints(&uid, "Cancelling deletion of Pod");
        }
        for uid in over {
            self.tell_of_taints(&uid, "Marking for deletion Pod");
            let owner = self.owner_of(&uid).and_then(|key| self.store_object(&key));
            self.stop(&uid, StopReason::Tainted, owner.as_ref());
        }
        due
    }

    fn tell_of_taints(&self, uid: &PodUid, what: &str) {
        let Some(tracked) = self.pods.get(uid) else { return };
        self.context.board.record(EventDraft {
            regarding: reference_to(tracked.pod.as_ref()),
            kind: EventKind::Normal,
            reason: "TaintManagerEviction".to_owned(),
            message: format!("{what} {}/{}", tracked.daemon_set.namespace, tracked.name),
            component: "taint-eviction-controller",
            at: self.context.clock.wall(),
        });
    }
}

fn leave_of(tracked: &Tracked, node: &Node) -> Leave {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let tolerations = tracked.pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref());
    let made = tracked.pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
    leave(taints, tolerations.unwrap_or_default(), made)
}
