//! What is true now: pods, DaemonSets, this node and Events, as Kubernetes objects with a resource version.
//!
//! Written by the owners of each fact (the agent, the pod workers), read and watched by `api`. The board decides nothing and
//! does no I/O; it never hands out a lock.

mod agent_status;
mod change;
mod collection;
mod event;
mod item;
mod metrics;
mod packed;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::kubelet::standing_back::SteppedBack;
use crate::manifest::DaemonSetKey;
use crate::placement::Verdict;

pub use agent_status::{Readiness, RuntimeStatus, StoreStatus};
pub use change::{Change, WatchType};
use collection::Collection;
use event::EventLog;
pub use event::{
    EVENT_TTL, EventDraft, EventKind, MAX_EVENTS, Telling, reference_to, reference_to_container,
};
pub use item::{Item, ItemKind, NamespacedName};
pub use metrics::{CLASSIC_CONTENT_TYPE, METRICS_CONTENT_TYPE, MethodCount, Metrics, StoreChange};

/// How many changes a slow watcher may lag behind before it has to list again.
const CHANGES_IN_FLIGHT: usize = 256;

/// What is true now. Shared as `Arc<Board>`; every method returns at once.
#[derive(Debug)]
pub struct Board {
    node_name: String,
    changes: broadcast::Sender<Arc<Change>>,
    facts: Mutex<Facts>,
    /// How long Events are kept, and how many are too many: by the monotonic clock.
    clock: Clock,
}

#[derive(Debug)]
struct Facts {
    version: u64,
    daemon_sets: Collection<DaemonSet>,
    events: Collection<Event>,
    nodes: Collection<Node>,
    pods: Collection<Pod>,
    event_log: EventLog,
    explanations: BTreeMap<DaemonSetKey, Arc<Verdict>>,
    /// Of the few whose next pod may not be made.
    refusals: BTreeMap<DaemonSetKey, Arc<[String]>>,
    store: Arc<StoreStatus>,
    runtime: Arc<RuntimeStatus>,
    readiness: Readiness,
    /// Why every update of the node is held, where nobody asked for it.
    updates_held: Option<String>,
    /// That the node is a kubelet's.
    stepped_back: Option<Arc<SteppedBack>>,
}

/// A consistent listing: these items are all there were at this version.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The board's version.
    pub resource_version: u64,
    /// The items, ordered by namespace and name.
    pub items: Vec<Item>,
}

/// A watch: what has changed since the version asked for, then every change as it happens, of every kind.
#[derive(Debug)]
pub struct Watch {
    /// The board's version at which `next` takes over.
    pub resource_version: u64,
    /// The changes up to then, of the kind asked for, oldest first.
    pub past: Vec<Change>,
    /// The changes from then on, of all kinds. A receiver that lags is told so and must list again.
    pub next: broadcast::Receiver<Arc<Change>>,
}

/// The version asked for is too old, or from another life of the agent: list again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({now})")]
pub struct TooOld {
    /// The version asked for.
    pub asked: u64,
    /// The board's version.
    pub now: u64,
}

impl Board {
    /// An empty board. Resource versions count up from the time of the start, so that those which a client remembers from the
    /// agent's previous life are known to be old.
    pub fn new(node_name: impl Into<String>, started: Timestamp) -> Self {
        let version = u64::try_from(started.as_millisecond()).unwrap_or_default();
        Self {
            node_name: node_name.into(),
            changes: broadcast::Sender::new(CHANGES_IN_FLIGHT),
            facts: Mutex::new(Facts {
                version,
                daemon_sets: Collection::starting_at(version),
                events: Collection::starting_at(version),
                nodes: Collection::starting_at(version),
                pods: Collection::starting_at(version),
                event_log: EventLog::default(),
                explanations: BTreeMap::new(),
                refusals: BTreeMap::new(),
                store: Arc::default(),
                runtime: Arc::default(),
                readiness: Readiness::default(),
                updates_held: None,
                stepped_back: None,
            }),
            clock: Clock::start(),
        }
    }

    /// The name of the node whose board this is.
    pub fn node_name(&self) -> &str {
        &self.node_name
    }

    /// Puts a pod as it is now; nothing happens if that is known.
    pub fn put_pod(&self, pod: Pod) {
        self.change(|facts, next| facts.pods.put(pod, next));
    }

    /// Takes a pod away, once nothing of it is left.
    pub fn remove_pod(&self, namespace: &str, name: &str) {
        self.change(|facts, next| facts.pods.remove(&NamespacedName::new(namespace, name), next));
    }

    /// Puts a DaemonSet as it is now, with its status; nothing happens if that is known.
    pub fn put_daemon_set(&self, daemon_set: DaemonSet) {
        self.change(|facts, next| facts.daemon_sets.put(daemon_set, next));
    }

    /// Takes a DaemonSet away, and what was said about its placement.
    pub fn remove_daemon_set(&self, namespace: &str, name: &str) {
        self.change(|facts, next| {
            let key = DaemonSetKey { namespace: namespace.to_owned(), name: name.to_owned() };
            facts.explanations.remove(&key);
            facts.refusals.remove(&key);
            facts.daemon_sets.remove(&NamespacedName::new(namespace, name), next)
        });
    }

    /// Puts this node as it is now; nothing happens if that is known.
    pub fn put_node(&self, node: Node) {
        self.change(|facts, next| facts.nodes.put(node, next));
    }

    /// Records that something happened. An identical event is counted, not repeated; many similar ones become one, and what is too much
    /// about one object is not told.
    pub fn record(&self, draft: EventDraft) -> Telling {
        self.record_annotated(draft, BTreeMap::new())
    }

    /// The same, with more for machines to read.
    pub fn record_annotated(&self, draft: EventDraft, annotations: BTreeMap<String, String>) -> Telling {
        let mut facts = self.lock();
        let Facts { event_log, events, .. } = &mut *facts;
        let now = self.clock.monotonic();
        let Some(recorded) = event_log.record(draft, annotations, now, &self.node_name, events) else {
            return Telling::TooMuch;
        };
        self.publish(&mut facts, |facts, next| facts.events.put(recorded.event, next));
        self.drop_events(&mut facts, recorded.expired);
        Telling::Told
    }

    /// Forgets the events that were last told longer than [`EVENT_TTL`] ago.
    pub fn expire_events(&self) {
        let mut facts = self.lock();
        let expired = facts.event_log.expire(self.clock.monotonic());
        self.drop_events(&mut facts, expired);
    }

    /// Says why a DaemonSet runs here or does not.
    pub fn set_explanation(&self, daemon_set: DaemonSetKey, verdict: Verdict) {
        self.lock().explanations.insert(daemon_set, Arc::new(verdict));
    }

    /// Says why the policy forbids the next pod of a DaemonSet, a sentence each; none: it does not.
    pub fn set_refusals(&self, daemon_set: &DaemonSetKey, refusals: Vec<String>) {
        let mut facts = self.lock();
        if refusals.is_empty() {
            facts.refusals.remove(daemon_set);
        } else {
            facts.refusals.insert(daemon_set.clone(), refusals.into());
        }
    }

    /// Says how the store is doing.
    pub fn set_store_status(&self, status: StoreStatus) {
        self.lock().store = Arc::new(status);
    }

    /// Says how the runtime is doing.
    pub fn set_runtime_status(&self, status: RuntimeStatus) {
        self.lock().runtime = Arc::new(status);
    }

    /// Names a condition of readiness that is not met, and what it waits for.
    pub fn set_pending(&self, condition: &'static str, waits_for: impl Into<String>) {
        self.lock().readiness.set(condition, Some(waits_for.into()));
    }

    /// Says that a condition of readiness is met.
    pub fn set_met(&self, condition: &'static str) {
        self.lock().readiness.set(condition, None);
    }

    /// Says why every update is held though nobody asked for it, or that none is.
    pub fn set_updates_held(&self, why: Option<String>) {
        self.lock().updates_held = why;
    }

    /// Why every update is held though nobody asked for it.
    pub fn updates_held(&self) -> Option<String> {
        self.lock().updates_held.clone()
    }

    /// Says that the node is a kubelet's, and what it was given.
    pub fn set_stepped_back(&self, note: SteppedBack) {
        self.lock().stepped_back = Some(Arc::new(note));
    }

    /// The pod of this name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.lock().pods.get(&NamespacedName::new(namespace, name))
    }

    /// Every pod, by namespace and name.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.lock().pods.iter().collect()
    }

    /// The DaemonSet of this name.
    pub fn daemon_set(&self, namespace: &str, name: &str) -> Option<Arc<DaemonSet>> {
        self.lock().daemon_sets.get(&NamespacedName::new(namespace, name))
    }

    /// Every DaemonSet, by namespace and name.
    pub fn daemon_sets(&self) -> Vec<Arc<DaemonSet>> {
        self.lock().daemon_sets.iter().collect()
    }

    /// The name of every DaemonSet.
    pub fn daemon_set_names(&self) -> Vec<NamespacedName> {
        self.lock().daemon_sets.names().cloned().collect()
    }

    /// This node, once it has been put.
    pub fn node(&self) -> Option<Arc<Node>> {
        self.lock().nodes.get(&NamespacedName::new("", &self.node_name))
    }

    /// Every event, by namespace and name.
    pub fn events(&self) -> Vec<Arc<Event>> {
        self.lock().events.iter().collect()
    }

    /// Why a DaemonSet runs here or does not.
    pub fn explanation(&self, daemon_set: &DaemonSetKey) -> Option<Arc<Verdict>> {
        self.lock().explanations.get(daemon_set).cloned()
    }

    /// Why the policy forbids the next pod of a DaemonSet, a sentence each.
    pub fn refusals(&self, daemon_set: &DaemonSetKey) -> Arc<[String]> {
        self.lock().refusals.get(daemon_set).cloned().unwrap_or_default()
    }

    /// How the store is doing.
    pub fn store_status(&self) -> Arc<StoreStatus> {
        Arc::clone(&self.lock().store)
    }

    /// How the runtime is doing.
    pub fn runtime_status(&self) -> Arc<RuntimeStatus> {
        Arc::clone(&self.lock().runtime)
    }

    /// That the node is a kubelet's, and what it was given; nothing while this agent looks after it.
    pub fn stepped_back(&self) -> Option<Arc<SteppedBack>> {
        self.lock().stepped_back.clone()
    }

    /// What keeps the agent from being ready.
    pub fn readiness(&self) -> Readiness {
        self.lock().readiness.clone()
    }

    /// One object.
    pub fn get(&self, kind: ItemKind, namespace: &str, name: &str) -> Option<Item> {
        let name = NamespacedName::new(namespace, name);
        let facts = self.lock();
        match kind {
            ItemKind::DaemonSet => facts.daemon_sets.get(&name).map(Item::from),
            ItemKind::Event => facts.events.get(&name).map(Item::from),
            ItemKind::Node => facts.nodes.get(&name).map(Item::from),
            ItemKind::Pod => facts.pods.get(&name).map(Item::from),
        }
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: ItemKind) -> usize {
        let facts = self.lock();
        match kind {
            ItemKind::DaemonSet => facts.daemon_sets.names().count(),
            ItemKind::Event => facts.events.names().count(),
            ItemKind::Node => facts.nodes.names().count(),
            ItemKind::Pod => facts.pods.names().count(),
        }
    }

    /// Every object of a kind, and the version as of which that is all.
    pub fn list(&self, kind: ItemKind) -> Listing {
        let facts = self.lock();
        Listing { resource_version: facts.version, items: facts.items(kind) }
    }

    /// Every change from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Change>> {
        self.changes.subscribe()
    }

    /// What has changed of a kind since a version, and every change from now on, with nothing between them lost.
    /// Without a version every object there is counts as added.
    pub fn watch(&self, kind: ItemKind, since: Option<u64>) -> Result<Watch, TooOld> {
        let facts = self.lock();
        let past = match since {
            None => facts
                .items(kind)
                .into_iter()
                .map(|item| Change { resource_version: facts.version, watch_type: WatchType::Added, item })
                .collect(),
            Some(asked) => {
                let too_old = TooOld { asked, now: facts.version };
                if asked > facts.version {
                    return Err(too_old);
                }
                match kind {
                    ItemKind::DaemonSet => facts.daemon_sets.since(asked),
                    ItemKind::Event => facts.events.since(asked),
                    ItemKind::Node => facts.nodes.since(asked),
                    ItemKind::Pod => facts.pods.since(asked),
                }
                .ok_or(too_old)?
            }
        };
        Ok(Watch { resource_version: facts.version, past, next: self.changes.subscribe() })
    }

    fn change(&self, apply: impl FnOnce(&mut Facts, u64) -> Option<Change>) {
        self.publish(&mut self.lock(), apply);
    }

    /// Applies a change and tells the watchers while the lock is held, so that they hear changes in the order of their versions.
    fn publish(&self, facts: &mut Facts, apply: impl FnOnce(&mut Facts, u64) -> Option<Change>) {
        let next = facts.version + 1;
        if let Some(change) = apply(facts, next) {
            facts.version = next;
            // An error only says that nobody watches.
            let _ = self.changes.send(Arc::new(change));
        }
    }

    fn drop_events(&self, facts: &mut Facts, names: Vec<NamespacedName>) {
        for name in names {
            self.publish(facts, |facts, next| facts.events.remove(&name, next));
        }
    }

    /// Every change to the facts is whole before anything can panic, so a poisoned lock guards good facts.
    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn items(&self, kind: ItemKind) -> Vec<Item> {
        match kind {
            ItemKind::DaemonSet => self.daemon_sets.iter().map(Item::from).collect(),
            ItemKind::Event => self.events.iter().map(Item::from).collect(),
            ItemKind::Node => self.nodes.iter().map(Item::from).collect(),
            ItemKind::Pod => self.pods.iter().map(Item::from).collect(),
        }
    }
}
