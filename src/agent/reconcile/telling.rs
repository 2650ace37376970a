//! What a round tells of DaemonSets: their status, the verdict on this node, and Events.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetCondition};
use k8s_openapi::api::core::v1::Node;

use super::{Reconciler, Round, key_of};
use crate::board::{EventDraft, EventKind, reference_to};
use crate::pod::identity::PodUid;
use crate::rollout::conditions::{Circumstance, conditions};
use crate::rollout::decide::PodFacts;
use crate::rollout::ledger::Entry;
use crate::rollout::status;

/// Says why the template is another than the store's.
const TEMPLATE_SOURCE: &str = "daemonlet.dev/template-source";

impl Reconciler {
    /// Says that a failed pod is about to be replaced.
    pub(super) fn tell_of_failed(&self, uid: &PodUid, daemon_set: &DaemonSet, node: &Node) {
        let Some(tracked) = self.pods.get(uid) else { return };
        let node = node.metadata.name.as_deref().unwrap_or_default();
        let (namespace, pod) = (&tracked.daemon_set.namespace, &tracked.name);
        let message =
            format!("Found failed daemon pod {namespace}/{pod} on node {node}, will try to kill it");
        self.event(daemon_set, EventKind::Warning, "FailedDaemonPod", &message);
    }

    /// Puts the DaemonSet on the board, with what only this node knows of it, unless it is there.
    pub(super) fn publish(&mut self, round: &Round<'_>, facts: &[PodFacts]) {
        let mut status = status::derive(round.entry.generation, round.min_ready, &round.verdict, facts);
        status.conditions = self.conditions(round);
        let news = (status, round.verdict.clone());
        let Some(known) = self.known.get_mut(&round.key) else { return };
        if known.published.as_ref() == Some(&news) {
            return;
        }
        let (status, verdict) = known.published.insert(news);
        let mut shown = round.daemon_set.clone();
        let metadata = &mut shown.metadata;
        metadata.uid = Some(round.entry.uid());
        metadata.generation = Some(round.entry.generation);
        metadata.creation_timestamp = Some(round.entry.creation_timestamp());
        let annotations = metadata.annotations.get_or_insert_default();
        let generation = round.entry.template_generation.to_string();
        annotations.insert("deprecated.daemonset.template.generation".to_owned(), generation);
        if let Some(stand_in) = self.ledger.stand_in(&round.key) {
            annotations.insert(TEMPLATE_SOURCE.to_owned(), stand_in.describe());
        }
        shown.status = Some(status.clone());
        self.context.board.put_daemon_set(shown);
        self.context.board.set_explanation(round.key.clone(), verdict.clone());
    }

    /// What is out of the ordinary with the DaemonSet.
    fn conditions(&self, round: &Round<'_>) -> Option<Vec<DaemonSetCondition>> {
        let known = self.known.get(&round.key)?;
        let overridden = self.ledger.stand_in(&round.key).map(Circumstance::overridden);
        let refusals = self.context.board.refusals(&round.key).join("; ");
        let refused = Some(refusals).filter(|text| !text.is_empty()).map(Circumstance::Refused);
        let unattended = self.unattended_pod_of(&round.key);
        let circumstances: Vec<Circumstance> =
            known.waits_for.iter().cloned().chain(refused).chain(overridden).chain(unattended).collect();
        let published = known.published.as_ref().and_then(|(status, _)| status.conditions.as_deref());
        conditions(&circumstances, published.unwrap_or_default(), self.context.clock.wall())
    }

    /// Records an Event on a DaemonSet.
    pub(in crate::agent) fn event(
        &self,
        daemon_set: &DaemonSet,
        kind: EventKind,
        reason: &str,
        message: &str,
    ) {
        let mut regarding = reference_to(daemon_set);
        // The store's object has no UID; the instance that this node knows has.
        regarding.uid = self.ledger.get(&key_of(daemon_set)).map(Entry::uid);
        self.context.board.record(EventDraft {
            regarding,
            kind,
            reason: reason.to_owned(),
            message: message.to_owned(),
            component: "daemonset-controller",
            at: self.context.clock.wall(),
        });
    }
}
