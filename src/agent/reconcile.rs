//! From the store, the node and the pods that are here to orders for the pod workers.
//!
//! Level-triggered: each round looks at the whole of the newest snapshot and the newest node. The rules are `placement`'s and
//! `rollout`'s; this is the hand that follows them, and the only one that starts and stops workers.

mod admission;
mod deleted;
mod generation;
mod images;
mod known;
mod open;
mod released;
mod shutdown;
mod taints;
mod telling;
#[cfg(test)]
mod tests;
mod tracked;
mod unattended;
mod updates;
mod waiting;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, PodTemplateSpec};
use tokio::sync::{Notify, mpsc, watch};
use tracing::info;

use self::deleted::named_in;
use self::known::Known;
pub(super) use self::open::Surroundings;
pub(super) use self::released::Released;
use self::shutdown::Going;
use self::tracked::Sight;
pub(super) use self::tracked::{Hand, Tracked};
use self::waiting::Waiting;
use self::wanted::Wanted;
use super::eviction::Demand;
use super::holding::Holding;
use super::image_gc::Kept;
use super::prefetch::Prefetch;
use super::recording::Recording;
use super::unattended::AllUnattended;
use crate::backoff::Turn;
use crate::board::EventKind;
use crate::complaints::HourlyComplaints;
use crate::cri::translate::pod_cgroup::burstable_cpu_shares;
use crate::manifest::{DaemonSetKey, Object, Objects};
use crate::node;
use crate::placement::{self, Verdict};
use crate::pod::context::{News, PodContext, Report};
use crate::pod::identity::PodUid;
use crate::pod::record::PodRecord;
use crate::pod::worker::{self, Listed, Wake};
use crate::policy::Policy;
use crate::rollout::RevisionHash;
use crate::rollout::decide::{self, Life, PodFacts, Step, StopReason, UpdateStrategy};
use crate::rollout::history::History;
use crate::rollout::ledger::{Entry, Ledger};
use crate::store::{Freshness, Snapshot};
use crate::systemd::logind::Machine;

/// When to try again after something could not be written.
pub(super) const RETRY: Duration = Duration::from_secs(10);

/// The pods of this node and what decides about them.
pub(super) struct Reconciler {
    pub(super) context: Arc<PodContext>,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) node: watch::Receiver<Arc<Node>>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    pub(super) ledger: Ledger,
    pub(super) history: History,
    pub(super) holds: Holding,
    pub(super) prefetch: Prefetch,
    pub(super) recording: Recording,
    pub(super) pods: BTreeMap<PodUid, Tracked>,
    /// Orphans that are being removed: what bears their UIDs goes.
    pub(super) leaving: BTreeSet<PodUid>,
    /// The CPU shares that all Burstable pods ask for together.
    pub(super) burstable_shares: watch::Sender<u64>,
    pub(super) known: BTreeMap<DaemonSetKey, Known>,
    /// Told of each pod that starts with a limit on what it writes to the disk.
    pub(super) limited: Arc<Notify>,
    /// Whether the machine goes down: then no pod is made or replaced any more.
    pub(super) machine: Machine,
    /// The pods that end for it now.
    pub(super) going: Option<Going>,
    /// The pods that wait for a place on the node.
    pub(super) waiting: BTreeMap<DaemonSetKey, Waiting>,
    /// What pods may do.
    pub(super) policy: Policy,
    /// What this agent looks after no longer.
    pub(super) released: Released,
    /// Whether only what somebody vouches for may run.
    pub(super) only_signed: bool,
    /// Pods that run while their records can't be used.
    pub(super) unattended: AllUnattended,
    /// What was told of what lasts.
    pub(super) complaints: HourlyComplaints,
    /// Which images must stay beside those that the store names.
    pub(super) kept_images: watch::Sender<Kept>,
}

/// What a round found out about one DaemonSet.
struct Round<'a> {
    key: DaemonSetKey,
    daemon_set: &'a DaemonSet,
    entry: Entry,
    revision: RevisionHash,
    verdict: Verdict,
    min_ready: Duration,
}

impl Round<'_> {
    fn template(&self) -> Option<&PodTemplateSpec> {
        self.daemon_set.spec.as_ref().map(|spec| &spec.template)
    }
}

impl Reconciler {
    /// Takes a pod into care that is on record.
    pub(super) fn adopt(&mut self, record: PodRecord, listed: Listed) {
        let is_new = listed.is_empty();
        let uid = record.uid.clone();
        let mut tracked = Tracked::of(&record);
        tracked.sight = if is_new { Sight::Seen } else { Sight::Unseen };
        let has_failed = record.failure.is_some();
        tracked.handle = Hand::Working(worker::spawn(Arc::clone(&self.context), record, listed));
        if is_new && !has_failed && tracked.life == Life::Live {
            self.keep_from_beginning(&tracked);
        }
        self.pods.insert(uid, tracked);
    }

    /// Wakes the pod that an id of the runtime belongs to; ids of others are none of our business.
    pub(super) fn wake(&self, id: &str, wake: Wake) {
        if let Some(tracked) = self.context.directory.owner(id).and_then(|uid| self.pods.get(&uid)) {
            tracked.handle.wake(wake);
        }
    }

    /// Wakes one pod to look again.
    pub(super) fn wake_pod(&self, uid: &PodUid) {
        if let Some(tracked) = self.pods.get(uid) {
            tracked.handle.wake(Wake::LookAgain);
        }
    }

    /// Wakes every pod: what had to wait for the runtime may be tried again.
    pub(super) fn wake_all(&self) {
        self.pods.values().for_each(|tracked| tracked.handle.wake(Wake::RuntimeAnswers));
    }

    /// Image archives were imported: whoever waits for an image looks for it now.
    pub(super) fn images_came(&mut self) {
        self.prefetch.images_came();
        self.pods.values().for_each(|tracked| tracked.handle.wake(Wake::ImagesCame));
    }

    /// Does what a node that runs short wants of its pods.
    pub(super) fn follow(&self, demand: Demand) {
        match demand {
            Demand::Fail { uid, failure } => {
                if let Some(tracked) = self.pods.get(&uid) {
                    tracked.handle.fail(failure);
                }
            }
            Demand::DropDead => self.pods.values().for_each(|tracked| tracked.handle.wake(Wake::DropDead)),
        }
    }

    /// How many pods there are, and how many of them are Ready.
    pub(super) fn counts(&self) -> (usize, usize) {
        let ready = self.pods.values().filter(|pod| pod.ready_since.is_some()).count();
        (self.pods.len() + self.unattended.len(), ready)
    }

    /// Takes a worker's news.
    pub(super) fn take(&mut self, report: &Report) {
        let now = self.context.clock.monotonic();
        match report.news {
            News::Gone => {
                self.pods.remove(&report.uid);
                self.note_ended(&report.uid);
            }
            News::Ready { since } => {
                if let Some(tracked) = self.pods.get_mut(&report.uid) {
                    tracked.ready_since.get_or_insert(now.saturating_sub(since));
                    tracked.sight = Sight::Seen;
                }
            }
            News::NotReady => {
                if let Some(tracked) = self.pods.get_mut(&report.uid) {
                    tracked.ready_since = None;
                    tracked.sight = Sight::Seen;
                }
            }
            News::Failed => {
                if let Some(tracked) = self.pods.get_mut(&report.uid) {
                    (tracked.ready_since, tracked.sight) = (None, Sight::Seen);
                    if tracked.life == Life::Live {
                        tracked.life = Life::Failed;
                    }
                }
                self.note_ended(&report.uid);
            }
        }
    }

    /// One round over everything. Says when the next is due even if nothing happens.
    pub(super) fn reconcile(&mut self) -> Option<Duration> {
        if self.released != Released::Nothing {
            self.end_all();
            self.keep_images();
            return None;
        }
        let snapshot = Arc::clone(&self.snapshots.borrow());
        // Nothing was read yet, not even from the last good copy: nothing can be decided.
        if snapshot.freshness == Freshness::Unknown {
            return None;
        }
        let node = Arc::clone(&self.node.borrow());
        let mut due = self.end_tainted(&node);
        let named = named_in(&snapshot);
        self.end_unattended(&snapshot, &named);
        let mut wanted = Vec::new();
        for stored in snapshot.objects.0.values() {
            let Object::DaemonSet(daemon_set) = &stored.object else { continue };
            let key = key_of(daemon_set);
            self.learn(&key, stored, daemon_set);
            let counts = self.known.get(&key).and_then(|known| known.counts.clone());
            let daemon_set = counts.as_ref().unwrap_or(daemon_set);
            let next = self.reconcile_one(key, daemon_set, &node, &snapshot.objects, &mut wanted);
            due = earliest(due, next);
        }
        due = earliest(due, self.give_places(wanted, &node));
        self.share_cpu();
        self.keep_images();
        // Only a complete and successful listing says what is absent.
        if snapshot.freshness == Freshness::Current {
            self.reconcile_deleted(&named);
        }
        self.record();
        earliest(due, self.recording.held(self.context.clock.monotonic()))
    }

    /// Says which CPU shares the pods of the Burstable class ask for together.
    fn share_cpu(&self) {
        let Ok(shares) = burstable_cpu_shares(self.pods.values().map(|tracked| tracked.pod.as_ref())) else {
            return;
        };
        let shares = u64::try_from(shares).unwrap_or_default();
        self.burstable_shares.send_if_modified(|asked_for| std::mem::replace(asked_for, shares) != shares);
    }

    fn reconcile_one(
        &mut self,
        key: DaemonSetKey,
        daemon_set: &DaemonSet,
        node: &Node,
        objects: &Objects,
        wanted: &mut Vec<Wanted>,
    ) -> Option<Duration> {
        let revision = self.known.get(&key)?.revision.clone();
        let entry = self.ledger.get(&key)?.clone();
        let min_ready = decide::min_ready(daemon_set);
        let mut verdict = placement::decide(node, daemon_set);
        if node::is_drained(node) {
            verdict = verdict.drained();
        }
        let round = Round { key, daemon_set, entry, revision, verdict, min_ready };

        let mut due = None;
        let facts = self.facts(&round.key, &round.revision);
        let now = self.context.clock.monotonic();
        let generation = round.entry.generation;
        let failed = self.known.get(&round.key)?.failures.turn(generation, now);
        if let Turn::Wait { remaining, .. } = failed
            && facts.iter().any(|pod| pod.life == Life::Failed)
        {
            due = Some(remaining);
        }
        let unseen = self.pods.values().any(|pod| pod.daemon_set == round.key && pod.sight == Sight::Unseen);
        let steps = if self.machine == Machine::GoingDown {
            Vec::new()
        } else if unseen || self.unattended_pod_of(&round.key).is_some() {
            // A pod of which nothing is known yet must not be taken for one that is not ready. Its worker's first word starts another round.
            Vec::new()
        } else {
            decide::decide(UpdateStrategy::of(daemon_set), min_ready, &round.verdict, &facts, failed)
        };
        // The policy first: of a pod that may not be made, not even the images are pulled.
        let (steps, tell_again) = self.admitted(&round, (node, objects), &facts, steps);
        due = earliest(due, tell_again);
        let (steps, wait) = self.gated(&round, steps, &facts);
        due = earliest(due, wait);
        for step in steps {
            match step {
                Step::Start => match self.want(&round, node, objects) {
                    Ok(pod) => wanted.extend(pod),
                    Err(wait) => due = earliest(due, Some(wait)),
                },
                Step::Stop { uid, why } => {
                    if why == StopReason::Failed {
                        self.tell_of_failed(&uid, daemon_set, node);
                        self.known.get_mut(&round.key)?.failures.note_removal(generation, now);
                    }
                    self.stop(&uid, why, Some(daemon_set));
                }
            }
        }
        let mut facts = self.facts(&round.key, &round.revision);
        let due = earliest(due, until_available(&facts, min_ready));
        // It counts from now on, whether it gets its place or waits for one.
        facts.extend(wanted.last().filter(|pod| pod.record.daemon_set == round.key).map(Wanted::facts));
        self.publish(&round, &facts);
        self.prune_history(&round);
        earliest(due, self.judge_revision(&round, &facts))
    }

    fn stop(&mut self, uid: &PodUid, why: StopReason, daemon_set: Option<&DaemonSet>) {
        self.stop_within(uid, why, None, daemon_set);
    }

    /// The pod of this name.
    pub(super) fn uid_of(&self, namespace: &str, name: &str) -> Option<PodUid> {
        let is_meant = |pod: &Tracked| pod.daemon_set.namespace == namespace && pod.name == name;
        self.pods.iter().find(|(_, pod)| is_meant(pod)).map(|(uid, _)| uid.clone())
    }

    /// The DaemonSet of this pod.
    pub(super) fn owner_of(&self, uid: &PodUid) -> Option<DaemonSetKey> {
        self.pods.get(uid).map(|pod| pod.daemon_set.clone())
    }

    /// Stops a pod, within a shorter time than its own if one is given.
    pub(super) fn stop_within(
        &mut self,
        uid: &PodUid,
        why: StopReason,
        grace: Option<Duration>,
        daemon_set: Option<&DaemonSet>,
    ) {
        let Some(tracked) = self.pods.get_mut(uid) else { return };
        tracked.life = Life::Ending;
        tracked.handle.stop(why.cause(), grace);
        info!(daemonset = %tracked.daemon_set, pod = tracked.name, reason = why.as_str(), "pod told to stop");
        if let Some(daemon_set) = daemon_set {
            let message = format!("Deleted pod: {}", self.pods[uid].name);
            self.event(daemon_set, EventKind::Normal, "SuccessfulDelete", &message);
        }
    }

    fn facts(&self, key: &DaemonSetKey, revision: &RevisionHash) -> Vec<PodFacts> {
        let now = self.context.clock.monotonic();
        let pods = self.pods.iter().filter(|(_, pod)| pod.daemon_set == *key);
        pods.map(|(uid, pod)| PodFacts {
            uid: uid.clone(),
            generation: self.generation(key, revision, pod),
            ready_for: pod.ready_since.map(|since| now.saturating_sub(since)),
            life: pod.life,
            order: pod.incarnation.0,
        })
        .collect()
    }
}

pub(super) fn key_of(daemon_set: &DaemonSet) -> DaemonSetKey {
    let metadata = &daemon_set.metadata;
    DaemonSetKey {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

/// When a pod that is Ready will have been so for long enough.
fn until_available(facts: &[PodFacts], min_ready: Duration) -> Option<Duration> {
    let waits = facts.iter().filter_map(|pod| pod.ready_for).filter(|ready_for| *ready_for <= min_ready);
    let next = waits.map(|ready_for| min_ready.saturating_sub(ready_for) + Duration::from_millis(1)).min();
    next.filter(|_| !min_ready.is_zero())
}

fn earliest(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
