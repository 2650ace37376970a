//! The main loop: turns what happens into calls of the [`Reconciler`]. Nothing in it decides, and once the pods are taken up nothing in it
//! waits for the runtime.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Node;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::eviction::Demand;
use super::host;
use super::kubelet_watch::KubeletWatch;
use super::node_shutdown::Order;
use super::orphans::{Orphans, Swept};
use super::prefetch::Fetched;
use super::reconcile::{Hand, Reconciler};
use super::recording::Recorded;
use super::runtime::{self, Health, Look, Looked, Relist};
use super::store_news::StoreNews;
use super::{AgentError, Ended, RUNTIME_RETRY, attended};
use crate::api::command::Command;
use crate::board::{Board, Metrics};
use crate::config::Settings;
use crate::containerd::{self, RuntimeEvent};
use crate::cri::CriClient;
use crate::cri::translate::Host;
use crate::error_chain::error_chain;
use crate::manifest::{Kind, Object, Objects, Problem};
use crate::node::host::Host as Machine;
use crate::node::{self, Edit, HostFacts, NodeFiles, NodeName, RewriteError};
use crate::pod::context::{News, Report};
use crate::pod::worker::Wake;
use crate::pod::{priority, rebuild};
use crate::store::StoreHandle;
use crate::systemd::{ServiceManager, Watchdog};

/// How long workers may take to finish what they are at when the agent ends.
const LETTING_GO: Duration = Duration::from_secs(5);
/// How many events of the runtime may wait for the main loop. More than that is a burst, and a burst ends in a listing.
const EVENTS_IN_FLIGHT: usize = 1024;
/// How often a node without any address looks whether it has one now.
const WITHOUT_ADDRESS: Duration = Duration::from_secs(10);
/// How often a runtime without events is listed instead.
const WITHOUT_EVENTS: Duration = Duration::from_secs(5);

/// What happened before the events were ready is in none of them. It is listed then; and again, as a listing may lag behind an event that
/// was published just before.
const CATCH_UP: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(10)];

/// What the main loop has to do with.
pub(super) struct Agent {
    pub(super) name: NodeName,
    pub(super) settings: Settings,
    pub(super) cri: CriClient,
    pub(super) health: Health,
    pub(super) metrics: Arc<Metrics>,
    pub(super) board: Arc<Board>,
    pub(super) store: StoreHandle,
    pub(super) store_news: StoreNews,
    pub(super) store_node: watch::Sender<Option<Arc<Node>>>,
    pub(super) node_files: NodeFiles,
    pub(super) node_problems: watch::Receiver<Vec<Problem>>,
    pub(super) objects: watch::Sender<Arc<Objects>>,
    pub(super) reconciler: Reconciler,
    /// What a node that runs short wants of its pods.
    pub(super) demands: mpsc::UnboundedReceiver<Demand>,
    /// Tells each time that image archives were imported.
    pub(super) image_imports: watch::Receiver<u64>,
    pub(super) relist: Relist,
    /// Whether the runtime tells what happens, or must be asked.
    pub(super) has_events: bool,
    /// What this machine is; its addresses may change while the agent runs.
    pub(super) facts: watch::Sender<Arc<HostFacts>>,
    /// What pods see of it.
    pub(super) host: watch::Sender<Arc<Host>>,
    /// The store's Node was passed on, and the node that it makes is not known yet.
    pub(super) node_pending: bool,
    /// The slow look that is under way. A runtime that hangs must not hang the loop.
    pub(super) look: Look,
    /// Who finds and removes what pods have left that are on no record.
    pub(super) orphans: Orphans,
    /// What the machine's shutdown asks for.
    pub(super) shutdown_orders: mpsc::UnboundedReceiver<Order>,
    /// What the API's clients ask for.
    pub(super) commands: mpsc::Receiver<Command>,
    /// Who notices a kubelet.
    pub(super) kubelet: KubeletWatch,
}

/// One thing that happened.
enum Happening {
    Store,
    Node,
    Report(Report),
    Recorded(Recorded),
    Runtime(RuntimeEvent),
    RelistDue,
    Looked(Option<Looked>),
    Swept(Swept),
    ImagesCame,
    Fetched(Fetched),
    Demand(Demand),
    Shutdown(Order),
    Asked(Command),
    Due,
    Alive,
}

impl Agent {
    pub(super) async fn run(
        mut self,
        mut watchdog: Watchdog,
        shutdown: CancellationToken,
    ) -> Result<Ended, AgentError> {
        let Some(taken_up) = attended(&mut watchdog, &shutdown, self.take_up_pods()).await else {
            return Ok(Ended::ToldTo);
        };
        taken_up?;
        let (events, mut events_seen) = mpsc::channel(EVENTS_IN_FLIGHT);
        let cri = self.cri.clone();
        let watcher = tokio::spawn(async move { containerd::watch(&cri, events).await });

        let mut due = Some(Instant::now());
        let mut relist_at = Instant::now() + self.relist_interval();
        let mut catching_up = [].iter();
        ServiceManager.status(&format!(
            "node {}: looking after {} pods",
            self.name,
            self.reconciler.pods.len()
        ));
        self.take_snapshot();
        let ended = loop {
            // Every arm is cancel safe: watch and mpsc receivers lose nothing, and the timers are absolute.
            let happening = tokio::select! {
                () = shutdown.cancelled() => break Ended::ToldTo,
                sign = self.kubelet.seen() => break Ended::Kubelet(sign),
                Ok(()) = self.store.snapshots.changed() => Happening::Store,
                Ok(()) = self.reconciler.node.changed() => Happening::Node,
                Ok(()) = self.node_problems.changed() => Happening::Store,
                Some(report) = self.reconciler.reports.recv() => Happening::Report(report),
                recorded = self.reconciler.recording.progress() => Happening::Recorded(recorded),
                Some(event) = events_seen.recv() => Happening::Runtime(event),
                () = tokio::time::sleep_until(relist_at), if self.look.is_idle() => Happening::RelistDue,
                looked = self.look.ended() => Happening::Looked(looked),
                Some(fetched) = self.reconciler.prefetch.fetched.recv() => Happening::Fetched(fetched),
                Ok(()) = self.image_imports.changed() => Happening::ImagesCame,
                swept = self.orphans.ended() => Happening::Swept(swept),
                Some(command) = self.commands.recv() => Happening::Asked(command),
                Some(demand) = self.demands.recv() => Happening::Demand(demand),
                Some(order) = self.shutdown_orders.recv() => Happening::Shutdown(order),
                () = until(due) => Happening::Due,
                () = watchdog.due() => Happening::Alive,
            };
            match happening {
                Happening::Store => self.take_snapshot(),
                Happening::Node => self.take_node(),
                Happening::Report(report) => {
                    self.take_report(report);
                    while let Ok(report) = self.reconciler.reports.try_recv() {
                        self.take_report(report);
                    }
                }
                Happening::Recorded(recorded) => self.reconciler.recorded(recorded),
                Happening::Runtime(event) => {
                    self.take_event(&event);
                    if matches!(event, RuntimeEvent::StreamReady { .. }) {
                        relist_at = Instant::now();
                        catching_up = CATCH_UP.iter();
                    }
                    continue;
                }
                Happening::RelistDue => {
                    self.look_at_host();
                    self.look.begin(&self.cri, self.name.as_str());
                    let pause = catching_up.next().copied();
                    relist_at = Instant::now() + pause.unwrap_or_else(|| self.relist_interval());
                    continue;
                }
                Happening::Looked(looked) => {
                    self.take_look(looked);
                    continue;
                }
                Happening::Swept(swept) => {
                    self.take_sweep(swept);
                    continue;
                }
                Happening::ImagesCame => self.reconciler.images_came(),
                Happening::Fetched(fetched) => self.take_fetched(fetched),
                Happening::Asked(command) => self.obey(command),
                Happening::Demand(demand) => {
                    self.reconciler.follow(demand);
                    continue;
                }
                Happening::Shutdown(order) => self.go_down(&order),
                Happening::Alive => {
                    watchdog.alive(&ServiceManager);
                    continue;
                }
                Happening::Due => {}
            }
            // What the store says of the node and what it says of DaemonSets came in one change and is decided as one.
            if self.node_pending {
                continue;
            }
            if self.reconciler.has_left() {
                break Ended::Done;
            }
            self.metrics.count_reconcile();
            due = self.reconciler.reconcile().map(|delay| Instant::now() + delay);
        };
        ServiceManager.stopping("pods go on running");
        info!(pods = self.reconciler.pods.len(), "the agent ends; its pods go on running");
        watcher.abort();
        self.let_go(&shutdown).await;
        Ok(ended)
    }

    /// Has every worker finish what it is at. One whose call hangs is left behind; it acts no more once the call returns.
    async fn let_go(&self, shutdown: &CancellationToken) {
        shutdown.cancel();
        let working = self.reconciler.pods.values().filter_map(|pod| match &pod.handle {
            Hand::Working(handle) => Some(handle.finished()),
            Hand::Recording { .. } => None,
        });
        if timeout(LETTING_GO, join_all(working)).await.is_err() {
            warn!("workers have not ended within {LETTING_GO:?}");
        }
    }

    /// Does what a client of the API asks for.
    fn obey(&mut self, command: Command) {
        match command {
            Command::ConfirmRemovals { answer } => {
                self.store.confirm_removals();
                // Whoever asked may have gone.
                let _ = answer.send(());
            }
            Command::AllowOlderStore { answer } => {
                self.store.allow_older();
                let _ = answer.send(());
            }
            Command::EditNode { edit, answer } => drop(answer.send(self.edit_node(&edit))),
            command => self.reconciler.obey(command),
        }
    }

    /// Does what the machine's shutdown asks for.
    fn go_down(&mut self, order: &Order) {
        match order {
            Order::Machine(machine) => {
                self.health.machine_goes(*machine);
                self.reconciler.machine_goes(*machine);
            }
            Order::End { pods, grace } => self.reconciler.end_for_shutdown(pods, *grace),
        }
    }

    /// Takes into care what is on record and what the runtime has. Waits for the runtime: without its answer a pod that runs
    /// could be taken for one that doesn't.
    async fn take_up_pods(&mut self) -> Result<(), AgentError> {
        let (mut records, refused) = self.reconciler.context.records.load()?;
        // After a boot all of them start; the most important ones go first.
        records.sort_by_cached_key(priority::start_order);
        for record in refused {
            warn!(file = %record.path.display(), reason = record.reason, "pod record refused; its pod is stopped and made anew");
        }
        let mut listing = loop {
            match runtime::list(&self.cri, self.name.as_str()).await {
                Ok(listing) => break listing,
                Err(problem) => {
                    self.health.lost(&self.cri, &error_chain(&problem));
                    sleep(RUNTIME_RETRY.1).await;
                }
            }
        };
        self.relist.changed(&listing);
        info!(records = records.len(), running = listing.len(), "taking up the pods of this node");
        records.retain(|record| self.reconciler.released.concerns(&record.daemon_set));
        for record in records {
            let listed = listing.remove(&record.uid).unwrap_or_default();
            self.reconciler.adopt(record, listed);
        }
        self.clear_up(listing);
        Ok(())
    }

    /// Ends pods that carry our mark and are on no record, and looks for what others have left.
    fn clear_up(&mut self, listing: runtime::Listing) {
        if !self.reconciler.released.concerns_strays() {
            return;
        }
        let listed = listing.keys().cloned().collect();
        self.end_strays(listing);
        self.orphans.look(self.reconciler.pods.keys().cloned(), listed);
    }

    /// Ends pods that the runtime has and that are on no record.
    fn end_strays(&mut self, listing: runtime::Listing) {
        let now = self.reconciler.context.clock.wall_seconds();
        for (uid, listed) in listing {
            if self.reconciler.pods.contains_key(&uid) {
                continue;
            }
            let Some(record) = rebuild::record_of(&uid, &listed, now) else { continue };
            warn!(%uid, "the runtime has a pod of ours that is on no record; it is stopped");
            self.reconciler.adopt(record, listed);
        }
    }

    /// Passes on what the store says now.
    fn take_snapshot(&mut self) {
        let snapshot = Arc::clone(&self.store.snapshots.borrow_and_update());
        let node = match snapshot.objects.get(Kind::Node, "", self.name.as_str()) {
            Some(Object::Node(found)) => Some(Arc::new(Node::clone(found))),
            _ => None,
        };
        let passed_on = self.store_node.send_if_modified(|shown| {
            let changed = *shown != node;
            *shown = node;
            changed
        });
        self.node_pending |= passed_on;
        let node_problems = self.node_problems.borrow_and_update().clone();
        self.store_news.tell(&snapshot, node_problems);
        let objects = pod_objects(&snapshot.objects);
        self.objects.send_if_modified(|shown| {
            let changed = **shown != objects;
            if changed {
                *shown = Arc::new(objects);
            }
            changed
        });
    }

    /// Has `node.yaml` say something else. The watch on it does the rest.
    fn edit_node(&self, edit: &Edit) -> Result<(), RewriteError> {
        info!(?edit, "a client of the API changes the node");
        let shown = self.board.node().unwrap_or_default();
        node::rewrite(&self.node_files, &self.name, self.store_node.borrow().as_deref(), &shown, edit)
    }

    fn take_event(&mut self, event: &RuntimeEvent) {
        match event {
            RuntimeEvent::Exited { id, .. } => {
                self.kubelet.look();
                self.reconciler.wake(id.as_str(), Wake::Exited(id.to_string()));
            }
            RuntimeEvent::Oom { .. } => {}
            RuntimeEvent::Changed { id } => {
                if self.reconciler.context.directory.owner(id.as_str()).is_none() {
                    self.kubelet.look_at_pods();
                }
            }
            RuntimeEvent::Deleted { id } => self.reconciler.wake(id.as_str(), Wake::Changed(id.to_string())),
            RuntimeEvent::StreamReady { source } => {
                debug!(?source, "the runtime tells what happens");
                self.has_events = true;
                self.metrics.set_event_stream_up(true);
                self.reconciler.wake_all();
            }
            RuntimeEvent::StreamLost { cause } => {
                self.metrics.set_event_stream_up(false);
                self.health.lost(&self.cri, cause);
            }
            RuntimeEvent::NoEventSource => {
                warn!("the runtime has no event stream; it is listed every {WITHOUT_EVENTS:?} instead");
                self.has_events = false;
            }
        }
    }

    fn take_node(&mut self) {
        self.node_pending = false;
        self.board.put_node(Node::clone(&self.reconciler.node.borrow()));
    }

    fn take_sweep(&mut self, swept: Swept) {
        let pods = &self.reconciler.pods;
        self.reconciler.leaving = self.orphans.go_on(swept, |uid| pods.contains_key(uid));
    }

    fn take_fetched(&mut self, fetched: Fetched) {
        let now = self.reconciler.context.clock.monotonic();
        self.reconciler.prefetch.note(fetched, now);
    }

    fn take_report(&mut self, report: Report) {
        self.reconciler.take(&report);
        if report.news == News::Gone {
            self.look.note_gone(report.uid);
        }
    }

    /// Takes the slow look that makes sure: events may be lost.
    fn take_look(&mut self, looked: Option<Looked>) {
        self.board.expire_events(self.reconciler.context.clock.wall());
        let Some(Looked { health, listing }) = looked else { return };
        self.health.take(&self.cri, health);
        match listing {
            Some(Ok(mut listing)) => {
                for uid in self.relist.changed(&listing) {
                    self.reconciler.wake_pod(&uid);
                }
                self.look.leave_out_gone(&mut listing);
                self.clear_up(listing);
            }
            Some(Err(problem)) => debug!(%problem, "cannot list what the runtime has"),
            None => {}
        }
    }

    /// Takes note of addresses and a resolver that have come or changed: a node may boot long before its network.
    fn look_at_host(&self) {
        let addresses = match self.settings.node_ips.as_slice() {
            [] => Machine::new("/").addresses(),
            configured => configured.to_vec(),
        };
        let host = host::refreshed(&self.host.borrow(), &self.settings, &addresses);
        self.facts.send_if_modified(|facts| {
            let changed = facts.addresses != addresses;
            if changed {
                info!(?addresses, "the node's addresses have changed");
                *facts = Arc::new(HostFacts { addresses, ..HostFacts::clone(facts) });
            }
            changed
        });
        self.host.send_if_modified(|known| {
            let changed = **known != host;
            if changed {
                *known = Arc::new(host);
            }
            changed
        });
    }

    fn relist_interval(&self) -> Duration {
        let usual = if self.has_events { self.settings.runtime_relist_interval } else { WITHOUT_EVENTS };
        // A node without an address has just booted, as a rule; it is looked at sooner.
        if self.facts.borrow().addresses.is_empty() { usual.min(WITHOUT_ADDRESS) } else { usual }
    }
}

/// The objects that pods take their contents from. Others don't concern a pod that runs.
fn pod_objects(objects: &Objects) -> Objects {
    let concerns =
        |kind| matches!(kind, Kind::ConfigMap | Kind::Secret | Kind::RuntimeClass | Kind::PriorityClass);
    Objects(
        objects
            .0
            .iter()
            .filter(|(key, _)| concerns(key.kind))
            .map(|(key, it)| (key.clone(), it.clone()))
            .collect(),
    )
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
