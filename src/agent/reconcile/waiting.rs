//! Pods that are wanted here: each gets its place when it fits, and until then waits on the board as Pending.
//!
//! A pod that waits has no record and no worker, for nothing of it is in the runtime. It is derived anew in each round and by each agent;
//! its identity stays because the incarnation it will have is only used up when it gets its place. Who fits and who goes is
//! `scheduling`'s to say.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tracing::info;

use super::wanted::Wanted;
use super::{Reconciler, Tracked, earliest};
use crate::board::{EventDraft, EventKind, reference_to};
use crate::manifest::DaemonSetKey;
use crate::pod::identity::{Incarnation, PodUid};
use crate::pod::record::PodRecord;
use crate::rollout::decide::{Life, StopReason};
use crate::scheduling::{
    Allocatable, Candidate, Demand, Outcome, PreemptionPolicy, Resident, Stay, schedule,
};
use crate::systemd::logind::Machine;

/// How often a pod that waits is looked at again without any cause, and told of again
/// (`podMaxInUnschedulablePodsDuration` of `pkg/scheduler/internal/queue`).
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// A pod that waits for its place.
pub(in crate::agent) struct Waiting {
    pub(super) uid: PodUid,
    pub(super) created: Timestamp,
    name: String,
    incarnation: Incarnation,
    message: String,
    is_nominated: bool,
    since: Timestamp,
    /// When it was last told of, by the monotonic clock.
    told: Duration,
}

impl Reconciler {
    /// Gives places to the pods that fit, the most important first, and has the others wait. Says when to look again.
    pub(super) fn give_places(&mut self, wanted: Vec<Wanted>, node: &Node) -> Option<Duration> {
        // Nothing was decided then; who waits goes on waiting.
        if self.machine == Machine::GoingDown || self.recording.held(self.context.clock.monotonic()).is_some()
        {
            return None;
        }
        let still: BTreeSet<&DaemonSetKey> = wanted.iter().map(|it| &it.record.daemon_set).collect();
        let over: Vec<DaemonSetKey> =
            self.waiting.keys().filter(|key| !still.contains(key)).cloned().collect();
        for key in &over {
            self.no_longer_waits(key);
        }
        if wanted.is_empty() {
            return None;
        }
        let residents: Vec<Resident> = self.pods.iter().filter_map(|(uid, pod)| resident(uid, pod)).collect();
        let candidates: Vec<Candidate> = wanted.iter().map(candidate).collect();
        let outcomes = schedule(&Allocatable::of(node), &residents, &candidates);
        let mut wanted: Vec<Option<Wanted>> = wanted.into_iter().map(Some).collect();
        let mut due = None;
        for (index, outcome) in outcomes {
            let Some(wanted) = wanted.get_mut(index).and_then(Option::take) else { continue };
            match outcome {
                Outcome::Bind => self.bind(wanted),
                Outcome::Wait { message, victims, is_nominated } => {
                    let by = wanted.record.uid.clone();
                    due = earliest(due, Some(self.wait(wanted, message, is_nominated)));
                    for victim in &victims {
                        self.preempt(victim, &by);
                    }
                }
            }
        }
        due
    }

    /// Makes the pod: first it is put on record, and only then does the runtime hear of it.
    fn bind(&mut self, wanted: Wanted) {
        let Wanted { record, of } = wanted;
        let key = &record.daemon_set;
        self.use_up(key, record.incarnation);
        if self.waiting.remove(key).is_none() {
            self.tell_of_creation(&of, &record);
        }
        let node = self.context.board.node_name();
        let pod = format!("{}/{}", key.namespace, record.pod.metadata.name.as_deref().unwrap_or_default());
        let message = format!("Successfully assigned {pod} to {node}");
        self.scheduler_event(&record.pod, EventKind::Normal, "Scheduled", &message);
        self.pods.insert(record.uid.clone(), Tracked::of(&record));
        self.recording.add(record);
    }

    /// Shows a pod that has no place, or not yet: one that is nominated gets it once others are gone. Says when to look at it again.
    fn wait(&mut self, wanted: Wanted, message: String, is_nominated: bool) -> Duration {
        let Wanted { record, of } = wanted;
        let key = record.daemon_set.clone();
        let now = self.context.clock.monotonic();
        let before = self.waiting.get(&key).filter(|it| it.uid == record.uid);
        if let Some(same) = before.filter(|it| it.message == message && it.is_nominated == is_nominated) {
            let left = LOOK_AGAIN.saturating_sub(now.saturating_sub(same.told));
            if !left.is_zero() {
                return left;
            }
        }
        let since = before.map_or_else(|| self.context.clock.wall_seconds(), |it| it.since);
        if before.is_none() {
            // One of an earlier template has waited in vain.
            self.no_longer_waits(&key);
            self.tell_of_creation(&of, &record);
        }
        let nominated = is_nominated.then(|| self.context.board.node_name());
        let pod = unscheduled(&record.pod, &message, since, nominated);
        self.scheduler_event(&pod, EventKind::Warning, "FailedScheduling", &message);
        info!(daemonset = %key, pod = pod.metadata.name, message, "the pod waits for a place on the node");
        let name = pod.metadata.name.clone().unwrap_or_default();
        self.context.board.put_pod(pod);
        let waiting = Waiting {
            uid: record.uid,
            created: record.created,
            name,
            incarnation: record.incarnation,
            message,
            is_nominated,
            since,
            told: now,
        };
        self.waiting.insert(key, waiting);
        LOOK_AGAIN
    }

    /// Ends a pod for one of higher priority.
    fn preempt(&mut self, victim: &PodUid, by: &PodUid) {
        let Some(tracked) = self.pods.get(victim) else { return };
        let message = format!("Preempted by pod {by} on node {}", self.context.board.node_name());
        self.scheduler_event(&tracked.pod, EventKind::Normal, "Preempted", &message);
        let owner = self.store_object(&tracked.daemon_set.clone());
        self.stop(victim, StopReason::Preempted, owner.as_ref());
    }

    /// Takes a pod away that waits: its DaemonSet doesn't want it any more.
    fn no_longer_waits(&mut self, key: &DaemonSetKey) {
        let Some(waiting) = self.waiting.remove(key) else { return };
        info!(daemonset = %key, pod = waiting.name, "the pod waits no longer for a place on the node");
        self.context.board.remove_pod(&key.namespace, &waiting.name);
        if let Some(owner) = self.store_object(key) {
            let message = format!("Deleted pod: {}", waiting.name);
            self.event(&owner, EventKind::Normal, "SuccessfulDelete", &message);
        }
    }

    /// Takes a pod away that waits, because a client asks for it; another one waits in its place. False if no such pod waits.
    pub(in crate::agent) fn delete_waiting(&mut self, namespace: &str, name: &str) -> bool {
        let is_meant = |key: &DaemonSetKey, it: &Waiting| key.namespace == namespace && it.name == name;
        let found = self.waiting.iter().find(|(key, it)| is_meant(key, it)).map(|(key, _)| key.clone());
        let Some(key) = found else { return false };
        if let Some(incarnation) = self.waiting.get(&key).map(|it| it.incarnation) {
            self.use_up(&key, incarnation);
        }
        self.no_longer_waits(&key);
        true
    }

    /// No later pod may have this incarnation.
    fn use_up(&mut self, key: &DaemonSetKey, incarnation: Incarnation) {
        self.ledger.next_incarnation(key, Some(Incarnation(incarnation.0.saturating_sub(1))));
    }

    fn tell_of_creation(&self, of: &DaemonSet, record: &PodRecord) {
        let name = record.pod.metadata.name.as_deref().unwrap_or_default();
        self.event(of, EventKind::Normal, "SuccessfulCreate", &format!("Created pod: {name}"));
    }

    fn scheduler_event(&self, pod: &Pod, kind: EventKind, reason: &str, message: &str) {
        self.context.board.record(EventDraft {
            regarding: reference_to(pod),
            kind,
            reason: reason.to_owned(),
            message: message.to_owned(),
            component: "default-scheduler",
            at: self.context.clock.wall(),
        });
    }
}

/// A pod with its place on the node; none if nothing of it runs any more.
fn resident(uid: &PodUid, tracked: &Tracked) -> Option<Resident> {
    let stay = match tracked.life {
        Life::Live => Stay::Stays,
        Life::Ending => Stay::Ends,
        Life::Failed => return None,
    };
    let spec = tracked.pod.spec.as_ref()?;
    let created = tracked.pod.metadata.creation_timestamp.as_ref();
    Some(Resident {
        uid: uid.clone(),
        name: tracked.name.clone(),
        daemon_set: tracked.daemon_set.clone(),
        priority: spec.priority.unwrap_or_default(),
        demand: Demand::of(spec),
        stay,
        created: created.map_or(0, |time| time.0.as_second()),
    })
}

fn candidate(wanted: &Wanted) -> Candidate {
    let pod = &wanted.record.pod;
    let spec = pod.spec.as_ref();
    Candidate {
        daemon_set: wanted.record.daemon_set.clone(),
        priority: spec.and_then(|spec| spec.priority).unwrap_or_default(),
        preemption: PreemptionPolicy::of(pod),
        demand: spec.map(Demand::of).unwrap_or_default(),
    }
}

/// The pod as it is shown while it waits: not yet tied to the node, but nominated for it if room is being made, and Pending.
fn unscheduled(pod: &Pod, message: &str, since: Timestamp, nominated: Option<&str>) -> Pod {
    let mut shown = pod.clone();
    if let Some(spec) = &mut shown.spec {
        spec.node_name = None;
    }
    let condition = PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(Time(since)),
        ..PodCondition::default()
    };
    let status = shown.status.take().unwrap_or_default();
    let nominated_node_name = nominated.map(str::to_owned);
    shown.status = Some(PodStatus { conditions: Some(vec![condition]), nominated_node_name, ..status });
    shown
}
