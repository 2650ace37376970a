//! What an agent shows that stands by: on its board are the store's DaemonSets, the pods that are seen, the node, and Events.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, NodeCondition, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tracing::warn;

use super::daemon_sets;
use super::pods::{self, Surroundings};
use super::seen::{Eyes, Look, Maker, SeenPod};
use crate::agent::offline::{self, OfflineNode};
use crate::agent::reconcile::key_of;
use crate::agent::runtime::Health;
use crate::agent::store_news::StoreNews;
use crate::board::{Board, EventDraft, EventKind, Metrics, reference_to};
use crate::clock::Clock;
use crate::config::Settings;
use crate::cri::CriError;
use crate::error_chain::error_chain;
use crate::kubelet::standing_back::{Start, SteppedBack};
use crate::kubelet::static_pod;
use crate::manifest::{DaemonSetKey, Object};
use crate::node::first_seen;
use crate::pod::record::Records;
use crate::rollout::ledger::Ledger;
use crate::state_dir::StateEntry;
use crate::store::{Freshness, Snapshot, StoreHandle};

/// What is shown, and what it is made of.
pub(super) struct Scene {
    settings: Settings,
    board: Arc<Board>,
    clock: Clock,
    health: Health,
    store: StoreHandle,
    store_news: StoreNews,
    note: SteppedBack,
    /// What the kubelet was given.
    given: BTreeMap<DaemonSetKey, Pod>,
    /// Our pods on record, by their UIDs.
    records: BTreeMap<String, Arc<Pod>>,
    ledger: Option<Ledger>,
    /// The content of the store by which `on` was found out, and this node.
    on: Option<(Arc<Snapshot>, OfflineNode)>,
    /// The Events that were recorded.
    told: BTreeSet<(&'static str, String)>,
    started: Timestamp,
    /// When the node was first seen.
    created: Timestamp,
    stuck: Option<String>,
}

impl Scene {
    pub(super) fn new(
        settings: &Settings,
        note: SteppedBack,
        (board, metrics): (Arc<Board>, Arc<Metrics>),
        clock: Clock,
        store: StoreHandle,
    ) -> Self {
        let started = clock.wall_seconds();
        let noted = StateEntry::FirstSeen.below(&settings.root_dir);
        let created = first_seen::first_seen(&noted, board.node_name(), started);
        let (runtime, _) = watch::channel(Health::unknown(clock.wall()));
        let source = settings.store.path.display().to_string();
        let mut scene = Self {
            store_news: StoreNews::new(source, Arc::clone(&board), metrics, clock),
            settings: settings.clone(),
            health: Health::new(Arc::clone(&board), runtime),
            board,
            clock,
            store,
            note: note.clone(),
            given: BTreeMap::new(),
            records: BTreeMap::new(),
            ledger: Ledger::open(&StateEntry::Ledger.below(&settings.root_dir))
                .ok()
                .map(|(ledger, _)| ledger),
            on: None,
            told: BTreeSet::new(),
            started,
            created,
            stuck: None,
        };
        scene.set_note(note);
        scene
    }

    pub(super) const fn note(&self) -> &SteppedBack {
        &self.note
    }

    /// From now on this is what is known.
    pub(super) fn set_note(&mut self, note: SteppedBack) {
        let given = note.written.iter().filter_map(|written| {
            let text = fs::read_to_string(&written.path).ok()?;
            Some((written.daemon_set.clone(), static_pod::read(&text)?))
        });
        self.given = given.collect();
        let dir = StateEntry::Records.below(&self.settings.root_dir);
        let records = if dir.exists() {
            Records::open(&dir).and_then(|records| records.load())
        } else {
            Ok(Default::default())
        };
        match records {
            Ok((records, _)) => {
                self.records =
                    records.into_iter().map(|record| (record.uid.to_string(), record.pod)).collect();
            }
            Err(problem) => {
                warn!(problem = error_chain(&problem), "pods of ours are shown without what is on record");
            }
        }
        self.board.set_pending("kubelet", note.describe());
        self.board.set_stepped_back(note.clone());
        self.note = note;
        self.stuck = None;
    }

    /// Says that the kubelet takes too long.
    pub(super) fn say_stuck(&mut self, problem: String) {
        self.board.set_pending("kubelet", format!("{}; {problem}", self.note.describe()));
        self.stuck = Some(problem);
    }

    /// Waits until the store says something else.
    pub(super) async fn store_changed(&mut self) {
        if self.store.snapshots.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Asks the runtime how it is, unless it was well.
    pub(super) async fn check_runtime(&self, eyes: &Eyes) {
        let status = self.board.runtime_status();
        if status.problem.is_some() || status.version.is_empty() {
            // It is told, which is all that there is to do about it.
            let _ = self.health.check(eyes.cri()).await;
        }
    }

    pub(super) fn lost_runtime(&self, eyes: &Eyes, problem: &CriError) {
        self.health.lost(eyes.cri(), &error_chain(problem));
    }

    /// Brings the board up to date.
    pub(super) fn show(&mut self, look: Option<&Look>) {
        let snapshot = Arc::clone(&self.store.snapshots.borrow_and_update());
        if self.on.as_ref().is_none_or(|(by, _)| !Arc::ptr_eq(by, &snapshot)) {
            match offline::this_machine(&self.settings, &snapshot.objects) {
                Ok(on) => self.on = Some((Arc::clone(&snapshot), on)),
                Err(problem) => warn!(problem = error_chain(&problem), "cannot tell of this node"),
            }
        }
        if let Some((_, on)) = &self.on {
            self.board.put_node(self.node(&on.node));
        }
        self.store_news.tell(&snapshot, Vec::new());
        let pods = look.map(|look| self.show_pods(&look.pods)).unwrap_or_default();
        self.show_daemon_sets(&snapshot, &pods);
        self.tell_of_node();
        // An Event belongs to an instance of a DaemonSet, which is known once the store was read.
        if snapshot.freshness != Freshness::Unknown {
            self.tell_of_daemon_sets();
        }
    }

    /// This node as it is shown: it is not this agent that makes it ready.
    fn node(&self, node: &Node) -> Node {
        let mut shown = node.clone();
        shown.metadata.creation_timestamp = Some(Time(self.created));
        let conditions = shown.status.get_or_insert_default().conditions.get_or_insert_default();
        conditions.retain(|condition| condition.type_ != "Ready");
        for condition in conditions.iter_mut() {
            condition.last_transition_time = Some(Time(self.started));
            condition.last_heartbeat_time = Some(Time(self.started));
        }
        conditions.push(NodeCondition {
            type_: "Ready".to_owned(),
            status: "False".to_owned(),
            reason: Some("StandingBy".to_owned()),
            message: Some(self.note.describe()),
            last_transition_time: Some(Time(self.note.since)),
            last_heartbeat_time: Some(Time(self.note.since.max(self.started))),
        });
        shown
    }

    fn show_pods(&self, seen: &[SeenPod]) -> BTreeMap<DaemonSetKey, Vec<Pod>> {
        let host_ips = self.on.as_ref().map_or(&[][..], |(_, on)| &on.host.node_ips);
        let around = Surroundings { node_name: self.board.node_name(), host_ips, now: self.clock.wall() };
        let mut shown: BTreeMap<DaemonSetKey, Vec<Pod>> = BTreeMap::new();
        let mut names = BTreeSet::new();
        for it in seen {
            let id = it.sandbox.metadata.clone().unwrap_or_default();
            let known = match it.maker {
                Maker::Kubelet => self.given.get(&it.daemon_set),
                Maker::Daemonlet => self.records.get(&id.uid).map(Arc::as_ref),
            };
            let before = self.board.pod(&id.namespace, &id.name);
            let pod = pods::shown(it, known, before.as_deref(), &around);
            names.insert((pod.metadata.namespace.clone(), pod.metadata.name.clone()));
            self.board.put_pod(pod.clone());
            shown.entry(it.daemon_set.clone()).or_default().push(pod);
        }
        for pod in self.board.pods() {
            let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
            if !names.contains(&(namespace.clone(), name.clone())) {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                self.board.remove_pod(&text(namespace), &text(name));
            }
        }
        shown
    }

    fn show_daemon_sets(&self, snapshot: &Snapshot, pods: &BTreeMap<DaemonSetKey, Vec<Pod>>) {
        let Some((_, on)) = &self.on else { return };
        let mut named = BTreeSet::new();
        for daemon_set in daemon_sets_of(snapshot) {
            let key = key_of(daemon_set);
            let entry = self.ledger.as_ref().and_then(|ledger| ledger.get(&key));
            let (shown, verdict) =
                daemon_sets::shown(daemon_set, entry, &self.note, &on.node, pods, self.clock.wall());
            self.board.put_daemon_set(shown);
            named.insert(key.clone());
            self.board.set_explanation(key, verdict);
        }
        for gone in self.board.daemon_set_names() {
            let key = DaemonSetKey { namespace: gone.namespace, name: gone.name };
            if !named.contains(&key) {
                self.board.remove_daemon_set(&key.namespace, &key.name);
            }
        }
    }

    fn tell_of_node(&mut self) {
        let mut this_node = Node::default();
        this_node.metadata.name = Some(self.board.node_name().to_owned());
        let this_node = reference_to(&this_node);
        let (why, since) = (self.note.why.clone(), self.note.since);
        self.event(this_node.clone(), EventKind::Warning, "KubeletFound", why, since);
        if let Some(problem) = self.stuck.clone() {
            self.event(this_node, EventKind::Warning, "HandOverStuck", problem, self.clock.wall());
        }
    }

    fn tell_of_daemon_sets(&mut self) {
        let note = self.note.clone();
        for written in &note.written {
            let about = self.reference(&written.daemon_set);
            let message = format!("Its pod is the kubelet's static pod {} now", written.path.display());
            self.event(
                about.clone(),
                EventKind::Normal,
                "HandedOver",
                message,
                written.at.unwrap_or(note.since),
            );
            if let Start::Seen { at } = written.start {
                let message = "The kubelet has started its static pod".to_owned();
                self.event(about, EventKind::Normal, "StartedByKubelet", message, at);
            }
        }
        for (refused, reasons) in &note.refused {
            let message = format!("It could not be handed over: {}", reasons.join("; "));
            self.event(self.reference(refused), EventKind::Warning, "HandOverRefused", message, note.since);
        }
    }

    fn reference(&self, key: &DaemonSetKey) -> ObjectReference {
        if let Some(shown) = self.board.daemon_set(&key.namespace, &key.name) {
            return reference_to(shown.as_ref());
        }
        let mut unknown = DaemonSet::default();
        (unknown.metadata.namespace, unknown.metadata.name) =
            (Some(key.namespace.clone()), Some(key.name.clone()));
        reference_to(&unknown)
    }

    /// Records what has happened, unless it was told.
    fn event(
        &mut self,
        regarding: ObjectReference,
        kind: EventKind,
        reason: &'static str,
        message: String,
        at: Timestamp,
    ) {
        let about = format!("{:?}/{:?} {message}", regarding.namespace, regarding.name);
        if self.told.insert((reason, about)) {
            let reason = reason.to_owned();
            self.board.record(EventDraft { regarding, kind, reason, message, component: "daemonlet", at });
        }
    }
}

fn daemon_sets_of(snapshot: &Snapshot) -> impl Iterator<Item = &DaemonSet> {
    snapshot.objects.0.values().filter_map(|stored| match &stored.object {
        Object::DaemonSet(daemon_set) => Some(daemon_set.as_ref()),
        _ => None,
    })
}
