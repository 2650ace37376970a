//! DaemonSets that have left the store: their pods end, and then they are forgotten.

use std::collections::BTreeSet;

use tracing::info;

use super::Reconciler;
use super::known::discard;
use crate::manifest::{DaemonSetKey, Kind};
use crate::rollout::RevisionHash;
use crate::rollout::decide::{self, Step};
use crate::store::Snapshot;

/// The DaemonSets that the store has. What is in a file that can't be used now is not absent.
pub(super) fn named_in(snapshot: &Snapshot) -> BTreeSet<DaemonSetKey> {
    let keys = snapshot.objects.0.keys().chain(&snapshot.unusable);
    let daemon_sets = keys.filter(|key| key.kind == Kind::DaemonSet);
    daemon_sets.map(|key| DaemonSetKey { namespace: key.namespace.clone(), name: key.name.clone() }).collect()
}

impl Reconciler {
    /// Stops the pods of DaemonSets that have left the store, and forgets those DaemonSets once the pods are gone.
    pub(super) fn reconcile_deleted(&mut self, named: &BTreeSet<DaemonSetKey>) {
        // The ledger forgets a DaemonSet at once, so that it is a new one if it comes back; it is shown until its pods are gone.
        let shown = self.context.board.daemon_set_names().into_iter();
        let left: BTreeSet<DaemonSetKey> = (self.ledger.present().cloned())
            .chain(self.pods.values().map(|pod| pod.daemon_set.clone()))
            .chain(shown.map(|shown| DaemonSetKey { namespace: shown.namespace, name: shown.name }))
            .filter(|key| !named.contains(key))
            .collect();
        for key in left {
            let facts = self.facts(&key, &RevisionHash::from_label(""));
            for step in decide::decide_deleted(&facts) {
                if let Step::Stop { uid, why } = step {
                    self.stop(&uid, why, None);
                }
            }
            if facts.is_empty() {
                info!(daemonset = %key, "DaemonSet is gone");
                self.context.board.remove_daemon_set(&key.namespace, &key.name);
            }
            self.ledger.left(&key, self.context.clock.wall_seconds());
            discard(&self.history.forget(&key));
            self.prefetch.forget(&key);
            self.known.remove(&key);
        }
    }
}
