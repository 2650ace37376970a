//! Failing: what runs of the pod is ended, what it has of the node is given back, and its last status is kept until it is told to stop.
//!
//! That it has failed is on its record before anything is stopped, and its last status before anything that it tells of is removed: an agent
//! that starts anew goes on from there and never starts such a pod again. A record that can't be written (the disk may be full, which
//! is what the pod is sacrificed for) holds nothing up; it is written once there is room.

use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Abandoned, Orders, Worker, tell, told_to_stop};
use crate::board::EventKind;
use crate::error_chain::error_chain;
use crate::pod::context::News;
use crate::pod::failure::{Failure, FailureNote, FailureReason};
use crate::pod::grace;

impl Worker {
    /// Refuses the pod: it is not admitted to this node.
    pub(super) fn refuse(&mut self, reason: FailureReason, why: &str) {
        self.event(EventKind::Warning, reason.as_str(), why);
        self.refused = Some(Box::new(Failure::refused(reason, why)));
    }

    /// Remembers on disk that the pod has failed.
    pub(super) fn note_failure(&mut self, failure: Failure) {
        info!(reason = failure.reason.as_str(), why = failure.message, "the pod has failed");
        let at = self.context.clock.wall_seconds();
        self.record.failure = Some(Box::new(FailureNote { failure, at, status: None }));
        self.write_failure();
    }

    /// Ends the pod, and waits with its status kept until it is told to stop. False when there is nobody left to tell it.
    pub(super) async fn stay_failed(&mut self, orders: &mut watch::Receiver<Orders>) -> bool {
        let (mut told, hurried) = (orders.clone(), orders.clone());
        tokio::select! {
            biased;
            told = told_to_stop(orders) => told,
            () = self.fail(hurried) => told_to_stop(&mut told).await,
        }
    }

    async fn fail(&mut self, mut orders: watch::Receiver<Orders>) {
        self.unfinished.settle().await;
        loop {
            self.take_shorter_grace(&orders.borrow_and_update());
            let asked_for = self.record.failure.as_ref().and_then(|note| note.failure.grace);
            let grace = grace::of_pod(&self.record.pod, asked_for);
            let failed = tokio::select! {
                failed = self.try_fail(grace) => failed,
                // A shorter grace period: what was begun with the longer one is begun anew.
                Ok(()) = orders.changed() => continue,
            };
            let Err(Abandoned { again_in }) = failed else { break };
            tokio::select! {
                () = sleep(again_in) => {}
                () = self.inbox.heard() => {}
                Ok(()) = orders.changed() => {}
            }
        }
        info!("nothing is left of the failed pod but its status");
        tell(&self.context, self.uid(), News::Failed);
    }

    /// Whoever has the pod fail once more may leave it less time.
    fn take_shorter_grace(&mut self, orders: &Orders) {
        if let (Orders::Fail(told), Some(note)) = (orders, &mut self.record.failure) {
            note.failure.grace = told.grace.into_iter().chain(note.failure.grace).min();
        }
    }

    async fn try_fail(&mut self, grace: Duration) -> Result<(), Abandoned> {
        self.bring_down(grace).await?;
        let written = self.keep_status();
        self.release_node().await?;
        self.forget_runtime().await?;
        if written || self.write_failure() { Ok(()) } else { Err(Abandoned::LATER) }
    }

    /// The last status of a pod that has failed, once nothing of it runs.
    pub(super) fn kept_status(&self) -> Option<PodStatus> {
        self.record.failure.as_ref().and_then(|note| note.status.clone())
    }

    /// Keeps the status as it is, unless one is kept. Whether the record is on disk.
    fn keep_status(&mut self) -> bool {
        if self.kept_status().is_some() {
            return self
                .context
                .records
                .get(self.uid())
                .is_some_and(|on_disk| on_disk.failure == self.record.failure);
        }
        let status = self.status_now();
        if let Some(note) = &mut self.record.failure {
            note.status = Some(status);
        }
        self.write_failure()
    }

    fn write_failure(&self) -> bool {
        let written = self.context.records.write(&self.record);
        if let Err(error) = &written {
            warn!(error = error_chain(error), "cannot note that the pod has failed");
        }
        written.is_ok()
    }
}
