//! Ending a pod for good: containers, sandboxes, volumes, cgroup, logs, and last of all its record.
//!
//! Whatever fails is tried again for as long as it takes, and an agent that starts anew goes on where this one was: each round looks at
//! everything afresh.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Abandoned, Orders, Worker, tell};
use crate::board::EventKind;
use crate::cri::ContainerId;
use crate::cri::log_path::LogOwner;
use crate::error_chain::error_chain;
use crate::pod::context::News;
use crate::pod::disruption::Cause;
use crate::pod::grace;
use crate::pod::logs;
use crate::pod::observed::SandboxState;
use crate::pod::record::EndingNote;
use crate::volume;

/// How soon what could not be ended is tried again, unless something happens before, in seconds. A kubelet's housekeeping comes by every
/// two, and is never sooner.
const AGAIN: [u64; 8] = [1, 1, 1, 2, 2, 4, 8, 10];

impl Worker {
    /// Ends the pod and everything that it left, trying again for as long as it takes.
    pub(super) async fn end(&mut self, mut orders: watch::Receiver<Orders>) {
        self.note_ending(&orders);
        self.unfinished.settle().await;
        for tries in 0.. {
            orders.mark_unchanged();
            let grace = self.grace_in_force();
            let ended = tokio::select! {
                ended = self.try_end(grace) => ended,
                // A shorter grace period: what was begun with the longer one is begun anew.
                Ok(()) = orders.changed() => continue,
            };
            match ended {
                Ok(()) => break,
                Err(Abandoned { again_in }) => tokio::select! {
                    () = sleep(again_in.min(Duration::from_secs(AGAIN[tries.min(AGAIN.len() - 1)]))) => {}
                    Ok(()) = orders.changed() => {}
                    () = self.inbox.heard() => {}
                },
            }
        }
        info!("pod is gone");
        self.context.directory.forget(self.uid());
        self.context.board.remove_pod(&self.namespace(), &self.name());
        tell(&self.context, self.uid(), News::Gone);
    }

    /// How long a pod that is told to stop has for it.
    pub(super) fn grace_in_force(&self) -> Duration {
        let asked_for = match &*self.orders.borrow() {
            Orders::Stop { grace, .. } => *grace,
            Orders::Run | Orders::Fail(_) => None,
        };
        // A pod that fails has no more time for it because it is told to stop as well.
        let failure = self.record.failure.as_ref().and_then(|note| note.failure.grace);
        grace::of_pod(&self.record.pod, asked_for.into_iter().chain(failure).min())
    }

    /// Remembers on disk that the pod is to end, so that it does even if the agent ends first.
    fn note_ending(&mut self, orders: &watch::Receiver<Orders>) {
        if self.record.ending.is_some() {
            return;
        }
        let Cause { reason, disruption } = match &*orders.borrow() {
            Orders::Stop { cause, .. } => *cause,
            Orders::Run | Orders::Fail(_) => Cause::from(""),
        };
        info!(reason, "stopping the pod");
        let at = self.context.clock.wall_seconds();
        self.record.ending = Some(EndingNote { reason: reason.to_owned(), at, disruption });
        if let Err(error) = self.context.records.write(&self.record) {
            // It ends all the same; only an agent that dies now would have to decide anew.
            warn!(error = error_chain(&error), "cannot note that the pod is to end");
        }
    }

    async fn try_end(&mut self, grace: Duration) -> Result<(), Abandoned> {
        self.bring_down(grace).await?;
        self.release_node().await?;
        self.forget_runtime().await?;
        self.forget_disk().await
    }

    /// Stops whatever runs, and makes sure that nothing does any more.
    pub(super) async fn bring_down(&mut self, grace: Duration) -> Result<(), Abandoned> {
        // What was heard so far is answered by looking at everything.
        self.take_inbox();
        self.unsure.everything = true;
        self.look_or_abandon().await?;
        self.sync_probes();
        self.report();
        let sandboxes = &self.observed.sandboxes;
        if self.observed.running().next().is_some()
            || sandboxes.iter().any(|sandbox| sandbox.state == SandboxState::Ready)
            || !self.brought_down && !sandboxes.is_empty()
        {
            self.brought_down = false;
            self.stop_everything(grace).await?;
            self.brought_down = true;
            self.look_or_abandon().await?;
            if let Some(survivor) = self.observed.running().next() {
                let message = format!("error killing pod: container {} still runs", survivor.name);
                self.event(EventKind::Warning, "FailedKillPod", &message);
                return Err(Abandoned::LATER);
            }
        }
        self.sync_probes();
        self.report();
        Ok(())
    }

    async fn look_or_abandon(&mut self) -> Result<(), Abandoned> {
        self.look().await.map_err(|again_in| Abandoned { again_in })
    }

    /// Gives back what the pod has of the node: volumes, directory, cgroup.
    pub(super) async fn release_node(&mut self) -> Result<(), Abandoned> {
        let Err(problem) = self.release_volumes_and_cgroup().await else { return Ok(()) };
        warn!(problem, "cannot clean up after the pod");
        self.event(
            EventKind::Warning,
            "FailedKillPod",
            &format!("error cleaning up after the pod: {problem}"),
        );
        Err(Abandoned::LATER)
    }

    async fn release_volumes_and_cgroup(&self) -> Result<(), String> {
        let (context, uid) = (Arc::clone(&self.context), self.uid().clone());
        let torn_down = tokio::task::spawn_blocking(move || {
            volume::tear_down(&context.volumes, uid.as_str()).map_err(|error| error_chain(&error))
        });
        torn_down.await.map_err(|panic| panic.to_string())??;
        let (cgroups, uid) = (&self.context.cgroups, self.uid().as_str());
        cgroups.destroy_pod(&self.cgroup()).await.map_err(|error| error_chain(&error))?;
        // A pod whose record was lost has its cgroup where its resources, no longer known, had put it.
        let listed = cgroups.list_pods().map_err(|error| error_chain(&error))?;
        for left in listed.iter().filter(|left| left.uid == uid) {
            cgroups.destroy_pod(&left.path).await.map_err(|error| error_chain(&error))?;
        }
        Ok(())
    }

    /// Removes the pod's containers and sandboxes.
    pub(super) async fn forget_runtime(&mut self) -> Result<(), Abandoned> {
        let containers: Vec<ContainerId> =
            self.observed.containers.iter().map(|record| record.id.clone()).collect();
        self.remove_containers(&containers).await?;
        let sandboxes: Vec<_> = self.observed.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        for id in &sandboxes {
            self.remove_sandbox(id).await?;
        }
        Ok(())
    }

    /// Removes the pod's logs, and last of all its record.
    async fn forget_disk(&mut self) -> Result<(), Abandoned> {
        let (context, pod, host) =
            (Arc::clone(&self.context), Arc::clone(&self.record.pod), self.context.host());
        let uid = self.uid().clone();
        let removed = tokio::task::spawn_blocking(move || {
            let directory = LogOwner::of(&pod).directory_name();
            let removed = logs::remove_all(&host.pod_logs_dir, &context.container_logs_dir, &directory);
            removed.map_err(|error| {
                // What proves that they are ours stays, so that they are tried again with the orphans.
                let kept = volume::keep_dir(&context.volumes, uid.as_str());
                kept.err().map_or_else(
                    || error_chain(&error),
                    |lost| format!("{}; {}", error_chain(&error), error_chain(&lost)),
                )
            })
        });
        if let Err(error) = removed.await.unwrap_or_else(|panic| Err(panic.to_string())) {
            warn!(dir = %self.log_dir().display(), error, "cannot remove the pod's logs; they are tried again");
        }
        self.context.records.remove(self.uid()).map_err(|error| {
            warn!(error = error_chain(&error), "cannot forget the pod");
            Abandoned::LATER
        })
    }
}
