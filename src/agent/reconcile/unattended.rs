//! Pods that run unattended, as the rounds see them: nothing is started beside one, and it ends once that is known to be right.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ObjectReference;
use tracing::warn;

use super::Reconciler;
use crate::agent::unattended::{Unattended, to_end};
use crate::board::{EventDraft, EventKind};
use crate::manifest::{DaemonSetKey, Kind};
use crate::pod::identity::PodUid;
use crate::pod::rebuild;
use crate::rollout::conditions::Circumstance;
use crate::store::{Freshness, Snapshot};

impl Reconciler {
    /// Leaves a pod alone that runs, and tells of it.
    pub(in crate::agent) fn leave_alone(&mut self, uid: PodUid, pod: Unattended) {
        let clock = self.context.clock;
        let message = pod.describe(&uid);
        if self.complaints.is_due(&message, clock.monotonic()) {
            warn!(daemonset = %pod.daemon_set, "{message}");
            self.context.board.record(EventDraft {
                regarding: ObjectReference {
                    api_version: Some("apps/v1".to_owned()),
                    kind: Some("DaemonSet".to_owned()),
                    namespace: Some(pod.daemon_set.namespace.clone()),
                    name: Some(pod.daemon_set.name.clone()),
                    ..ObjectReference::default()
                },
                kind: EventKind::Warning,
                reason: "PodUnattended".to_owned(),
                message,
                component: "daemonlet",
                at: clock.wall(),
            });
        }
        self.unattended.insert(uid, pod);
    }

    /// What there is to say of a DaemonSet's pod that runs unattended.
    pub(super) fn unattended_pod_of(&self, key: &DaemonSetKey) -> Option<Circumstance> {
        let mut all = self.unattended.iter();
        let (uid, pod) = all.find(|(_, pod)| pod.daemon_set == *key)?;
        Some(Circumstance::Unattended(pod.describe(uid)))
    }

    /// Ends those whose DaemonSets have left the store, and those that can only be made anew, and will be.
    pub(super) fn end_unattended(&mut self, snapshot: &Snapshot, named: &BTreeSet<DaemonSetKey>) {
        let can_be_made =
            |key: &DaemonSetKey| snapshot.objects.get(Kind::DaemonSet, &key.namespace, &key.name).is_some();
        // Only a complete and successful listing says what is absent.
        let has_left = |key: &DaemonSetKey| snapshot.freshness == Freshness::Current && !named.contains(key);
        for uid in to_end(&self.unattended, can_be_made, has_left) {
            let Some(pod) = self.unattended.remove(&uid) else { continue };
            let Some(record) = rebuild::record_of(&uid, &pod.listed, self.context.clock.wall_seconds())
            else {
                continue;
            };
            warn!(%uid, daemonset = %pod.daemon_set, "a pod that ran unattended is stopped");
            self.adopt(record, pod.listed);
        }
    }
}
