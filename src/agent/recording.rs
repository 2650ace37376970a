//! Brings to the disk what must be there before a pod may be made, without holding up the main loop.
//!
//! A new pod's record and its DaemonSet's ledger entry are written side by side on a thread, those of many pods together; the runtime
//! hears of a pod when both are on the disk. There is one batch at a time, so that a file has one writer; what comes up meanwhile goes
//! with the next. After a failure nothing is tried for a while: a full disk must not be asked without end.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tracing::{error, info};

use super::reconcile::{Hand, RETRY, Reconciler};
use crate::atomic_file::{self, AtomicFileError};
use crate::board::EventKind;
use crate::error_chain::error_chain;
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
}

#[derive(Debug)]
struct Batch {
    entries: Vec<DaemonSetKey>,
    pods: Vec<PodRecord>,
    /// One result for each entry, then one for each pod.
    task: JoinHandle<Vec<Result<(), AtomicFileError>>>,
}

/// A batch that has ended, well or not.
#[derive(Debug)]
pub(super) struct Recorded {
    entries: Vec<DaemonSetKey>,
    pods: Vec<PodRecord>,
    results: Result<Vec<Result<(), AtomicFileError>>, JoinError>,
}

impl Recording {
    /// Waits for the end of the batch; for ever if there is none. Safe to drop and await again.
    pub(super) async fn ended(&mut self) -> Recorded {
        let Some(batch) = &mut self.batch else { return std::future::pending().await };
        let results = (&mut batch.task).await;
        let (entries, pods) = (std::mem::take(&mut batch.entries), std::mem::take(&mut batch.pods));
        self.batch = None;
        Recorded { entries, pods, results }
    }

    /// How long nothing may be tried yet.
    pub(super) fn held(&self, now: Duration) -> Option<Duration> {
        self.held_until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Has the pod's record written with the next batch.
    pub(super) fn add(&mut self, record: PodRecord) {
        self.next.push(record);
    }
}

impl Reconciler {
    /// Begins to bring to the disk what isn't there, unless that is under way or held.
    pub(super) fn record(&mut self) {
        if self.recording.batch.is_some() || self.recording.held(self.context.clock.monotonic()).is_some() {
            return;
        }
        let pods = std::mem::take(&mut self.recording.next);
        let (entries, mut files): (Vec<_>, Vec<_>) = self.ledger.take_unsaved().into_iter().unzip();
        if entries.is_empty() && pods.is_empty() {
            return;
        }
        files.extend(pods.iter().map(|record| self.context.records.replacement(record)));
        let task = tokio::task::spawn_blocking(move || atomic_file::write_all(&files));
        self.recording.batch = Some(Batch { entries, pods, task });
    }

    /// Hands the pods that are on record to their workers. What could not be written is tried again later, as another pod.
    pub(super) fn recorded(&mut self, recorded: Recorded) {
        let Recorded { entries, pods, results } = recorded;
        let (mut results, broken) = match results {
            Ok(results) => (results.into_iter(), None),
            Err(broken) => (Vec::new().into_iter(), Some(broken.to_string())),
        };
        let mut next = |told: &dyn Fn(AtomicFileError) -> String| match results.next() {
            Some(Ok(())) => None,
            Some(Err(problem)) => Some(told(problem)),
            None => Some(broken.clone().unwrap_or_default()),
        };
        let mut failed = Vec::new();
        for key in entries {
            let told = |source| error_chain(&LedgerError::Write { key: key.clone(), source });
            if let Some(problem) = next(&told) {
                self.ledger.not_saved(&key);
                failed.push((key.clone(), problem));
            }
        }
        for record in pods {
            let told = |source| error_chain(&RecordError::Write { uid: record.uid.clone(), source });
            let problem = next(&told);
            let is_counted = !failed.iter().any(|(key, _)| *key == record.daemon_set);
            match problem {
                None if is_counted => self.put_to_work(record),
                None => self.forget(&record.uid),
                Some(problem) => {
                    self.forget(&record.uid);
                    failed.push((record.daemon_set, problem));
                }
            }
        }
        let now = self.context.clock.monotonic();
        self.recording.held_until = if failed.is_empty() { Duration::ZERO } else { now + RETRY };
        for (key, problem) in failed {
            error!(daemonset = %key, error = problem, "the state directory can't be written; no pod is made until it can");
            self.tell_failure(&key, &problem);
        }
    }

    fn put_to_work(&mut self, record: PodRecord) {
        let Some(tracked) = self.pods.get_mut(&record.uid) else { return };
        info!(daemonset = %record.daemon_set, pod = tracked.name, revision = %record.revision, "pod made");
        let handle = worker::spawn(std::sync::Arc::clone(&self.context), record, worker::Listed::default());
        if let Hand::Recording { stop: Some(reason) } = tracked.handle {
            handle.stop(reason, None);
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

    fn tell_failure(&self, key: &DaemonSetKey, problem: &str) {
        let snapshot = self.snapshots.borrow();
        if let Some(Object::DaemonSet(found)) =
            snapshot.objects.get(Kind::DaemonSet, &key.namespace, &key.name)
        {
            self.event(found, EventKind::Warning, "FailedCreate", &format!("Error creating: {problem}"));
        }
    }
}
