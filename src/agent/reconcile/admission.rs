//! Asks the policy before a pod is made, and before one is stopped so that another can be made.
//!
//! The answer depends on the DaemonSet, its Namespace and the agent's configuration alone, and is kept while those are the same.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use tracing::{info, warn};

use super::{Reconciler, Round};
use crate::board::EventKind;
use crate::manifest::{Kind, ObjectKey, Objects, Stored};
use crate::pod::identity;
use crate::policy::Judgement;
use crate::rollout::decide::{PodFacts, Step};
use crate::rollout::refused;

/// How often a refusal that stands is told again. Nothing but a change of the store ends it, and that starts a round by itself.
const TELL_AGAIN: Duration = Duration::from_secs(5 * 60);
/// How often it is logged again. Events are counted, lines of the log are not.
const LOG_AGAIN: Duration = Duration::from_secs(60 * 60);

/// What the policy says of a DaemonSet's next pod.
pub(super) struct Admission {
    /// The Namespace by which it was judged.
    namespace: Option<Arc<Stored>>,
    judgement: Judgement,
    /// When it was told last, by the monotonic clock.
    told: Option<Duration>,
    /// When it was logged last.
    logged: Option<Duration>,
}

impl Reconciler {
    /// Takes out of a round's steps what the policy forbids, and tells of it. Says when it is to be told again.
    pub(super) fn admitted(
        &mut self,
        round: &Round<'_>,
        (node, objects): (&Node, &Objects),
        facts: &[PodFacts],
        steps: Vec<Step>,
    ) -> (Vec<Step>, Option<Duration>) {
        if !refused::wants_successor(&steps, facts) {
            self.context.board.set_refusals(&round.key, Vec::new());
            return (steps, None);
        }
        self.judge(round, objects);
        let now = self.context.clock.monotonic();
        let Some(admission) = self.known.get(&round.key).and_then(|known| known.admission.as_ref()) else {
            return (steps, None);
        };
        let refusals = admission.judgement.refusals.iter().map(ToString::to_string);
        self.context.board.set_refusals(&round.key, refusals.collect());
        let told = admission.told;
        let is_news = admission.logged.is_none_or(|logged| now.saturating_sub(logged) >= LOG_AGAIN);
        let Some(forbidden) = admission.judgement.forbids(&self.next_name(round, node)) else {
            if told.is_none() {
                self.tell_of_warnings(round, &admission.judgement);
                self.note_told(round, now);
            }
            return (steps, None);
        };
        let wait = told.map_or(Duration::ZERO, |told| (told + TELL_AGAIN).saturating_sub(now));
        if !wait.is_zero() {
            return (refused::without_successor(steps, facts), Some(wait));
        }
        let message = format!("Error creating: {forbidden}");
        self.event(round.daemon_set, EventKind::Warning, "FailedCreate", &message);
        if is_news {
            warn!(daemonset = %round.key, problem = forbidden, "the policy forbids the DaemonSet's pod");
        }
        if told.is_none() {
            self.tell_of_warnings(round, &admission.judgement);
        }
        self.note_told(round, now);
        if is_news
            && let Some(admission) = self.known.get_mut(&round.key).and_then(|known| known.admission.as_mut())
        {
            admission.logged = Some(now);
        }
        (refused::without_successor(steps, facts), Some(TELL_AGAIN))
    }

    /// Has the DaemonSet's pod judged, unless it was and nothing has changed.
    fn judge(&mut self, round: &Round<'_>, objects: &Objects) {
        let key =
            ObjectKey { kind: Kind::Namespace, namespace: String::new(), name: round.key.namespace.clone() };
        let namespace = objects.0.get(&key);
        let Some(known) = self.known.get_mut(&round.key) else { return };
        let by = |admission: &Admission| {
            admission.namespace.as_ref().map(|stored| &stored.object)
                == namespace.map(|stored| &stored.object)
        };
        if known.admission.as_ref().is_some_and(by) {
            return;
        }
        let judgement = self.policy.judge(round.daemon_set, objects);
        known.admission =
            Some(Admission { namespace: namespace.cloned(), judgement, told: None, logged: None });
    }

    fn note_told(&mut self, round: &Round<'_>, now: Duration) {
        if let Some(admission) = self.known.get_mut(&round.key).and_then(|known| known.admission.as_mut()) {
            admission.told = Some(now);
        }
    }

    /// The name that the pod would have.
    fn next_name(&self, round: &Round<'_>, node: &Node) -> String {
        let highest = self.highest_incarnation(&round.key);
        let node_name = node.metadata.name.as_deref().unwrap_or_default();
        identity::derive(node_name, &round.key, &round.revision, round.entry.incarnation_after(highest)).name
    }

    fn tell_of_warnings(&self, round: &Round<'_>, judgement: &Judgement) {
        for fault in &judgement.label_faults {
            warn!(daemonset = %round.key, %fault, "a label of the Namespace can't be read");
        }
        if let Some(violations) = &judgement.audit {
            info!(daemonset = %round.key, "audit: the DaemonSet's pod would violate {violations}");
        }
        if let Some(violations) = &judgement.warning {
            let message = format!("would violate {violations}");
            self.event(round.daemon_set, EventKind::Warning, "PodSecurity", &message);
            warn!(daemonset = %round.key, "the DaemonSet's pod {message}");
        }
    }
}
