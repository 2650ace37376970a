//! What is known of a DaemonSet from before, so that a round over many that have not changed costs little.
//!
//! It is found out anew when the store hands over another object, and it never outlives the object that it was found out about.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use tracing::{info, warn};

use super::admission::Admission;
use super::{Reconciler, Round};
use crate::manifest::{DaemonSetKey, Stored};
use crate::placement::Verdict;
use crate::rollout::conditions::Circumstance;
use crate::rollout::failures::Failures;
use crate::rollout::history::Current;
use crate::rollout::ledger::Entry;
use crate::rollout::{self, RevisionHash};

/// What was found out about a DaemonSet before, so that a round over many that have not changed costs little.
pub(in crate::agent) struct Known {
    /// The object that it was found out about.
    pub(super) source: Arc<Stored>,
    /// The object as it counts, where that is another than the store's.
    pub(super) counts: Option<Box<DaemonSet>>,
    pub(super) revision: RevisionHash,
    pub(super) failures: Failures,
    /// When its revision was first tried here, by the monotonic clock, until it is available.
    pub(super) tried_since: Option<Duration>,
    /// What the policy says of its next pod, once it was asked.
    pub(super) admission: Option<Admission>,
    /// What its update waits for.
    pub(super) waits_for: Option<Circumstance>,
    /// The images of the revision that it would be rolled back to, until it is available.
    pub(super) way_back: Vec<String>,
    /// What is on the board.
    pub(super) published: Option<(DaemonSetStatus, Verdict)>,
}

impl Reconciler {
    /// Finds out what only depends on the object itself, if it is another than before.
    pub(super) fn learn(&mut self, key: &DaemonSetKey, source: &Arc<Stored>, daemon_set: &DaemonSet) {
        if self.known.get(key).is_some_and(|known| Arc::ptr_eq(&known.source, source)) {
            return;
        }
        if daemon_set.spec.is_none() {
            return;
        }
        if self.ledger.stand_in(key).is_some_and(|stand_in| !stand_in.counts_for(daemon_set)) {
            info!(daemonset = %key, "the store has another template, which counts again");
            self.ledger.set_stand_in(key, None);
        }
        let counts = self.ledger.stand_in(key).map(|stand_in| Box::new(stand_in.applied(daemon_set)));
        let daemon_set = counts.as_deref().unwrap_or(daemon_set);
        let Some(spec) = daemon_set.spec.as_ref() else { return };
        let revision = rollout::revision_of(&spec.template);
        let now = self.context.clock.wall_seconds();
        self.ledger.seen(key, daemon_set, &revision, now);
        let Some(uid) = self.ledger.get(key).map(Entry::uid) else { return };
        self.history.note(Current { key, daemon_set, uid: &uid, revision: &revision }, now);
        let failures = self.known.get(key).map(|known| known.failures).unwrap_or_default();
        let way_back = self.way_back(key, daemon_set, &revision);
        let known = Known {
            source: Arc::clone(source),
            counts,
            revision,
            failures,
            admission: None,
            waits_for: None,
            tried_since: None,
            way_back,
            published: None,
        };
        self.known.insert(key.clone(), known);
    }

    /// Forgets the revisions that are more than the DaemonSet's limit and that no pod is of.
    pub(super) fn prune_history(&mut self, round: &Round<'_>) {
        let Round { key, daemon_set, revision, entry, .. } = round;
        let current = Current { key, daemon_set, uid: &entry.uid(), revision };
        let is_in_use = |revision: &RevisionHash| {
            self.pods.values().any(|pod| pod.daemon_set == *key && pod.revision == *revision)
        };
        discard(&self.history.prune(current, is_in_use));
    }
}

/// Removes files that are no longer needed.
pub(super) fn discard(files: &[PathBuf]) {
    for file in files {
        if let Err(error) = std::fs::remove_file(file)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(file = %file.display(), %error, "a revision that is no longer needed stays on the disk");
        }
    }
}
