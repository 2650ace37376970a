//! What the runtime shows: at first, by its events, and in the slow look that makes sure.

use tracing::{debug, info, warn};

use super::{Agent, WITHOUT_EVENTS};
use crate::agent::AgentError;
use crate::agent::orphans::Swept;
use crate::agent::reconcile::Released;
use crate::agent::runtime::{self, Looked};
use crate::agent::unattended::{Doubt, Unattended};
use crate::containerd::RuntimeEvent;
use crate::pod::identity::PodUid;
use crate::pod::worker::Wake;
use crate::pod::{priority, rebuild};

impl Agent {
    /// Takes into care what is on record and what the runtime has. Waits for the runtime: without its answer a pod that runs
    /// could be taken for one that doesn't.
    pub(super) async fn take_up_pods(&mut self) -> Result<(), AgentError> {
        let (mut records, refused) = self.reconciler.context.records.load()?;
        // After a boot all of them start; the most important ones go first.
        records.sort_by_cached_key(priority::start_order);
        for record in refused {
            warn!(file = %record.path.display(), reason = record.reason, "pod record refused");
        }
        let mut listing = runtime::wait_for_listing(&self.cri, self.name.as_str(), &self.health).await;
        self.metrics.note_runtime_listed();
        self.relist.changed(&listing);
        info!(records = records.len(), running = listing.len(), "taking up the pods of this node");
        records.retain(|record| self.reconciler.released.concerns(&record.daemon_set));
        for record in records {
            let listed = listing.remove(&record.uid).unwrap_or_default();
            self.reconciler.adopt(record, listed);
        }
        self.clear_up(listing);
        Ok(())
    }

    /// Ends pods that carry our mark and are on no record, and looks for what others have left.
    fn clear_up(&mut self, listing: runtime::Listing) {
        let listed = listing.keys().cloned().collect();
        self.end_strays(listing);
        if !self.reconciler.released.concerns_others() {
            return;
        }
        self.orphans.look(self.reconciler.pods.keys().cloned(), listed);
    }

    /// Ends pods that the runtime has and that are on no record. One that runs while its record can't be used is left alone.
    fn end_strays(&mut self, listing: runtime::Listing) {
        let now = self.reconciler.context.clock.wall_seconds();
        let gone = |uid: &PodUid| !listing.contains_key(uid);
        self.reconciler.unattended.retain(|uid, _| !gone(uid));
        for (uid, listed) in listing {
            if self.reconciler.pods.contains_key(&uid) {
                continue;
            }
            let Some(record) = rebuild::record_of(&uid, &listed, now) else { continue };
            if !self.reconciler.released.concerns(&record.daemon_set) {
                continue;
            }
            let records = &self.reconciler.context.records;
            if self.reconciler.unattended.contains_key(&uid)
                && let Some(record) = records.get(&uid)
            {
                info!(%uid, "the record of a pod that ran unattended can be used again");
                self.reconciler.unattended.remove(&uid);
                self.reconciler.adopt(record, listed);
                continue;
            }
            if self.reconciler.released == Released::Nothing
                && let Some(doubt) = Doubt::of(records.condition(&uid), &listed)
            {
                let pod = Unattended { daemon_set: record.daemon_set, doubt, listed };
                self.reconciler.leave_alone(uid, pod);
                continue;
            }
            warn!(%uid, "the runtime has a pod of ours that is on no record; it is stopped");
            self.reconciler.unattended.remove(&uid);
            self.reconciler.adopt(record, listed);
        }
    }

    pub(super) fn take_event(&mut self, event: &RuntimeEvent) {
        match event {
            RuntimeEvent::Exited { id, .. } => {
                self.kubelet.look();
                self.reconciler.wake(id.as_str(), Wake::Exited(id.to_string()));
            }
            RuntimeEvent::Oom { .. } => {}
            RuntimeEvent::Changed { id } => {
                if self.reconciler.context.directory.owner(id.as_str()).is_none() {
                    self.kubelet.look_at_pods();
                }
            }
            RuntimeEvent::Deleted { id } => self.reconciler.wake(id.as_str(), Wake::Changed(id.to_string())),
            RuntimeEvent::StreamReady { source } => {
                debug!(?source, "the runtime tells what happens");
                self.has_events = true;
                self.metrics.set_event_stream_up(true);
                self.reconciler.wake_all();
            }
            RuntimeEvent::StreamLost { cause } => {
                self.metrics.set_event_stream_up(false);
                self.health.lost(&self.cri, cause);
            }
            RuntimeEvent::NoEventSource => {
                warn!("the runtime has no event stream; it is listed every {WITHOUT_EVENTS:?} instead");
                self.has_events = false;
            }
        }
    }

    pub(super) fn take_sweep(&mut self, swept: Swept) {
        let pods = &self.reconciler.pods;
        self.reconciler.leaving = self.orphans.go_on(swept, |uid| pods.contains_key(uid));
    }

    /// Takes the slow look that makes sure: events may be lost.
    pub(super) fn take_look(&mut self, looked: Option<Looked>) {
        self.board.expire_events();
        let Some(Looked { health, listing }) = looked else { return };
        self.health.take(&self.cri, health);
        match listing {
            Some(Ok(mut listing)) => {
                self.metrics.note_runtime_listed();
                for uid in self.relist.changed(&listing) {
                    self.reconciler.wake_pod(&uid);
                }
                self.look.leave_out_gone(&mut listing);
                self.clear_up(listing);
            }
            Some(Err(problem)) => debug!(%problem, "cannot list what the runtime has"),
            None => {}
        }
    }
}
