//! Writes down what must be written before a pod may be made, without holding up the main loop.
//!
//! On a thread, for many pods together: first their records get their places, and from then on the runtime may hear of the pods, for an
//! agent that is killed finds them again. Then records and ledger entries are brought to the disk side by side. A power cut in the
//! milliseconds between loses what can be told again: no process outlives it, a sandbox without a record is ended as a stray, and a ledger
//! entry follows from the object and the records. There is one batch at a time, so that a file has one writer; what comes up meanwhile goes
//! with the next. After a failure no pod is made for a while: a full disk must not be asked without end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{error, info};

use super::reconcile::{Hand, RETRY, Reconciler};
use crate::atomic_file::{self, AtomicFileError};
use crate::board::EventKind;
use crate::complaints::HourlyComplaints;
use crate::error_chain::error_chain;
use crate::eviction::local_storage::Limited;
use crate::manifest::{DaemonSetKey, Kind, Object};
use crate::pod::identity::PodUid;
use crate::pod::record::{PodRecord, RecordError};
use crate::pod::worker;
use crate::rollout::ledger::LedgerError;

/// What is on its way to the disk.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// The pods whose records go with the next batch.
    next: Vec<PodRecord>,
    batch: Option<Batch>,
    /// Until when nothing is tried, by the monotonic clock.
    held_until: Duration,
    /// What was told of a disk that takes nothing.
    told: Option<HourlyComplaints>,
}

#[derive(Debug)]
struct Batch {
    entries: Vec<DaemonSetKey>,
    pods: Vec<PodRecord>,
    /// One result for each pod, once all have their places.
    placed: Option<oneshot::Receiver<Vec<Written>>>,
    /// One result for each entry, then one for each pod.
    task: JoinHandle<Vec<Written>>,
}

type Written = Result<(), AtomicFileError>;

/// How far a batch has come, well or not.
#[derive(Debug)]
pub(super) enum Recorded {
    /// The records have their places.
    Placed(Vec<(PodRecord, Written)>),
    /// Everything is on the disk.
    Synced(Vec<(DaemonSetKey, Written)>),
}

impl Recording {
    /// Waits for a batch to come further; for ever if there is none. Safe to drop and await again.
    pub(super) async fn progress(&mut self) -> Recorded {
        let Some(batch) = &mut self.batch else { return std::future::pending().await };
        if let Some(placed) = &mut batch.placed {
            let results = placed.await.unwrap_or_default();
            batch.placed = None;
            return Recorded::Placed(with_results(std::mem::take(&mut batch.pods), results));
        }
        let results = (&mut batch.task).await.unwrap_or_default();
        let entries = std::mem::take(&mut batch.entries);
        self.batch = None;
        Recorded::Synced(with_results(entries, results))
    }

    /// How long nothing may be tried yet.
    pub(super) fn held(&self, now: Duration) -> Option<Duration> {
        self.held_until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Has the pod's record placed with the next batch.
    pub(super) fn add(&mut self, record: PodRecord) {
        self.next.push(record);
    }
}

impl Reconciler {
    /// Begins to write what isn't on the disk, unless that is under way or held.
    pub(super) fn record(&mut self) {
        if self.recording.batch.is_some() || self.recording.held(self.context.clock.monotonic()).is_some() {
            return;
        }
        let pods = std::mem::take(&mut self.recording.next);
        let unsaved = self.ledger.take_unsaved().into_iter().chain(self.history.take_unsaved());
        let (entries, entry_files): (Vec<_>, Vec<_>) = unsaved.unzip();
        if entries.is_empty() && pods.is_empty() {
            return;
        }
        let records: Vec<_> = pods.iter().map(|record| self.context.records.replacement(record)).collect();
        let (tell, placed) = oneshot::channel();
        let task = tokio::task::spawn_blocking(move || {
            let results: Vec<Written> = records.iter().map(atomic_file::place).collect();
            let there = records.into_iter().zip(&results).filter(|(_, placed)| placed.is_ok());
            let there: Vec<_> = there.map(|(record, _)| record.path).collect();
            // Nobody listens any more when the agent goes down.
            let _ = tell.send(results);
            for problem in atomic_file::sync_all(&there).into_iter().filter_map(Result::err) {
                error!(error = error_chain(&problem), "a pod's record may not outlast a power cut");
            }
            atomic_file::write_all(&entry_files)
        });
        self.recording.batch = Some(Batch { entries, pods, placed: Some(placed), task });
    }

    /// Hands the pods that are on record to their workers. What could not be written is tried again later, as another pod.
    pub(super) fn recorded(&mut self, recorded: Recorded) {
        match recorded {
            Recorded::Placed(pods) => {
                for (record, placed) in pods {
                    match placed {
                        Ok(()) => self.put_to_work(record),
                        Err(source) => {
                            self.forget(&record.uid);
                            let problem = RecordError::Write { uid: record.uid, source };
                            self.failed(&record.daemon_set, &error_chain(&problem));
                        }
                    }
                }
            }
            Recorded::Synced(entries) => {
                if entries.iter().all(|(_, saved)| saved.is_ok()) {
                    self.recording.told = None;
                }
                for (key, saved) in entries {
                    if let Err(source) = saved {
                        self.ledger.not_saved(&key);
                        let problem = LedgerError::Write { key: key.clone(), source };
                        self.failed(&key, &error_chain(&problem));
                    }
                }
            }
        }
    }

    fn put_to_work(&mut self, record: PodRecord) {
        let Some(tracked) = self.pods.get_mut(&record.uid) else { return };
        info!(daemonset = %record.daemon_set, pod = tracked.name, revision = %record.revision, "pod made");
        if Limited::of(&record.pod) != Limited::default() {
            self.limited.notify_one();
        }
        let handle = worker::spawn(Arc::clone(&self.context), record, worker::Listed::default());
        if let Hand::Recording { stop: Some(cause) } = tracked.handle {
            handle.stop(cause, None);
        }
        tracked.handle = Hand::Working(handle);
    }

    /// A pod that could not be put on record never was.
    fn forget(&mut self, uid: &PodUid) {
        self.pods.remove(uid);
        if let Err(problem) = self.context.records.remove(uid) {
            error!(error = error_chain(&problem), "a pod that was not made stays on record");
        }
    }

    fn failed(&mut self, key: &DaemonSetKey, problem: &str) {
        let now = self.context.clock.monotonic();
        // What is wrong with the disk is the same for every file on it, and is the last that is said.
        let cause = problem.rsplit(": ").next().unwrap_or(problem);
        if self.recording.told.get_or_insert_default().is_due(cause, now) {
            error!(daemonset = %key, error = problem, "the state directory can't be written; no pod is made until it can");
        }
        self.recording.held_until = now + RETRY;
        let snapshot = self.snapshots.borrow();
        if let Some(Object::DaemonSet(found)) =
            snapshot.objects.get(Kind::DaemonSet, &key.namespace, &key.name)
        {
            self.event(found, EventKind::Warning, "FailedCreate", &format!("Error creating: {problem}"));
        }
    }
}

/// Each item with its result. Should the thread have broken down, there are none.
fn with_results<T>(items: Vec<T>, results: Vec<Written>) -> Vec<(T, Written)> {
    let broken = || Err(AtomicFileError::Interrupted);
    let results = results.into_iter().chain(std::iter::repeat_with(broken));
    items.into_iter().zip(results).collect()
}
