//! The pod that a DaemonSet wants here now: its identity, its class and its template made into one.

use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tracing::warn;

use super::{RETRY, Reconciler, Round};
use crate::board::EventKind;
use crate::manifest::{DaemonSetKey, Objects};
use crate::pod::blueprint::Blueprint;
use crate::pod::classes::Classes;
use crate::pod::identity::{self, Incarnation};
use crate::pod::record::PodRecord;
use crate::rollout::HASH_VERSION;
use crate::rollout::decide::{Generation, Life, PodFacts};

/// A pod that a DaemonSet wants here now.
pub(super) struct Wanted {
    pub(super) record: PodRecord,
    pub(super) of: DaemonSet,
}

impl Wanted {
    /// The pod as `rollout` sees it: it is one of the DaemonSet's pods here, and isn't ready.
    pub(super) fn facts(&self) -> PodFacts {
        PodFacts {
            uid: self.record.uid.clone(),
            generation: Generation::Current,
            ready_for: None,
            life: Life::Live,
            order: self.record.incarnation.0,
        }
    }
}

impl Reconciler {
    /// The pod that a DaemonSet wants here now, or when to try again.
    pub(super) fn want(
        &self,
        round: &Round<'_>,
        node: &Node,
        objects: &Objects,
    ) -> Result<Option<Wanted>, Duration> {
        if let Some(wait) = self.recording.held(self.context.clock.monotonic()) {
            return Err(wait);
        }
        let failed = |problem: &str| {
            let message = format!("Error creating: {problem}");
            self.event(round.daemon_set, EventKind::Warning, "FailedCreate", &message);
            warn!(daemonset = %round.key, problem, "cannot make the DaemonSet's pod");
            RETRY
        };
        let Some(spec) = round.daemon_set.spec.as_ref() else { return Ok(None) };
        let pod_spec = spec.template.spec.clone().unwrap_or_default();
        let classes = Classes::of(&pod_spec, objects).map_err(|problem| failed(&problem.to_string()))?;
        let highest = self.highest_incarnation(&round.key);
        let node_name = node.metadata.name.as_deref().unwrap_or_default();
        let mut incarnation = round.entry.incarnation_after(highest);
        let identity = loop {
            let identity = identity::derive(node_name, &round.key, &round.revision, incarnation);
            // Only where the counter was lost as well is such a UID met again.
            if !self.leaving.contains(&identity.uid) {
                break identity;
            }
            incarnation = Incarnation(incarnation.0 + 1);
        };
        let waits = self.waiting.get(&round.key).filter(|it| it.uid == identity.uid);
        let created = waits.map_or_else(|| self.context.clock.wall_seconds(), |it| it.created);
        let mut owner = round.daemon_set.clone();
        owner.metadata.uid = Some(round.entry.uid());
        let mut pod = Blueprint {
            daemon_set: &owner,
            template: &spec.template,
            revision_hash: round.revision.as_str(),
            template_generation: Some(round.entry.template_generation),
            name: &identity.name,
            uid: identity.uid.as_str(),
            node_name,
            classes,
        }
        .pod();
        pod.metadata.creation_timestamp = Some(Time(created));
        let revision = (round.revision.clone(), HASH_VERSION);
        let record = PodRecord::new(identity.uid, round.key.clone(), revision, incarnation, created, pod);
        Ok(Some(Wanted { record, of: owner }))
    }

    /// The highest incarnation among the pods that a DaemonSet has here.
    pub(super) fn highest_incarnation(&self, key: &DaemonSetKey) -> Option<Incarnation> {
        self.pods.values().filter(|pod| pod.daemon_set == *key).map(|pod| pod.incarnation).max()
    }
}
