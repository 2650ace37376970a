//! One probe of one container, running: waits as the worker of `threshold` says, asks, and tells what came of it.
//!
//! I/O and timers, no rule.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::{ProbeEvent, ProbeEventReason, ProbeEvents, SharedResult};
use crate::cri::ContainerId;
use crate::probe::attempt::{Answer, Target, attempt};
use crate::probe::threshold::{Change, Next, Outcome, Worker, WorkerView};
use crate::probe::{ExecSync, PodPhase, ProbeError, ProbeKind, ProbeSpec};

/// What a probe's task needs to know of its pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TaskView {
    pub(super) worker: WorkerView,
    pub(super) pod_ip: Option<IpAddr>,
}

pub(super) struct Task<E> {
    pub(super) spec: ProbeSpec,
    pub(super) container: Arc<str>,
    pub(super) worker: Worker,
    pub(super) views: watch::Receiver<TaskView>,
    pub(super) stored: SharedResult,
    pub(super) runtime: E,
    pub(super) notify: Arc<Notify>,
    pub(super) events: Arc<dyn ProbeEvents>,
}

impl<E: ExecSync> Task<E> {
    pub(super) async fn run(mut self) {
        loop {
            let view = self.views.borrow_and_update().clone();
            let next = self.worker.observe(&view.worker, Instant::now().into_std());
            self.publish();
            let alive = match next {
                Next::End => return,
                Next::OnChange => self.views.changed().await.is_ok(),
                Next::At(instant) => tokio::select! {
                    changed = self.views.changed() => changed.is_ok(),
                    () = sleep_until(instant.into()) => true,
                },
                Next::Attempt(container) => {
                    self.attempt(Target { container, pod_ip: view.pod_ip }).await;
                    true
                }
            };
            if !alive {
                return;
            }
        }
    }

    /// Asks, unless the container goes while we wait for an answer: then there is none.
    async fn attempt(&mut self, target: Target) {
        let answer = {
            // On the heap, so that a probe that waits for its turn is small.
            let asking = Box::pin(attempt(&self.spec, &target, &self.runtime));
            let gone = pin!(gone(&mut self.views, &target.container, self.spec.kind));
            tokio::select! {
                answer = asking => answer,
                () = gone => return,
            }
        };
        let outcome = self.tell(answer);
        let Some(outcome) = outcome else { return };
        if self.worker.conclude(&target.container, outcome) == Change::Result {
            self.publish();
            self.notify.notify_one();
        }
    }

    /// Tells what is to be told about an answer, and answers what it counts as.
    fn tell(&self, answer: Result<Answer, ProbeError>) -> Option<Outcome> {
        let kind = self.spec.kind;
        let (outcome, reason, message) = match answer {
            Ok(Answer::Success) => return Some(Outcome::Success),
            Ok(Answer::Warning(text)) => (
                Some(Outcome::Success),
                ProbeEventReason::ProbeWarning,
                format!("{kind} probe warning: {text}"),
            ),
            Ok(Answer::Failure(text)) => {
                (Some(Outcome::Failure), ProbeEventReason::Unhealthy, format!("{kind} probe failed: {text}"))
            }
            Err(error) => (None, ProbeEventReason::Unhealthy, format!("{kind} probe errored: {error}")),
        };
        self.events.tell(ProbeEvent { container: Arc::clone(&self.container), kind, reason, message });
        outcome
    }

    fn publish(&self) {
        *self.stored.lock().unwrap_or_else(PoisonError::into_inner) = self.worker.stored();
    }
}

/// Waits until `id` no longer runs, or is no longer to be asked.
async fn gone(views: &mut watch::Receiver<TaskView>, id: &ContainerId, kind: ProbeKind) {
    while views.changed().await.is_ok() {
        let view = &views.borrow().worker;
        let ending = view.phase == PodPhase::Terminating && kind != ProbeKind::Readiness;
        if ending || view.state.running() != Some(id) {
            return;
        }
    }
}
