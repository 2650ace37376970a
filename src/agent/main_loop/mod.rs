//! The main loop: turns what happens into calls of the [`Reconciler`]. Nothing in it decides, and once the pods are taken up nothing in it
//! waits for the runtime.

mod said;
mod seen;
mod shutdown;
mod status_line;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Node;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::eviction::Demand;
use super::kubelet_watch::KubeletWatch;
use super::node_shutdown::Order;
use super::orphans::{Orphans, Swept};
use super::prefetch::Fetched;
use super::reconcile::{Hand, Reconciler};
use super::recording::Recorded;
use super::runtime::{Health, Look, Looked, Relist};
use super::store_news::StoreNews;
use super::{AgentError, Ended, attended};
use crate::api::command::Command;
use crate::board::{Board, Metrics};
use crate::config::Settings;
use crate::containerd::{self, RuntimeEvent};
use crate::cri::CriClient;
use crate::cri::translate::Host;
use crate::manifest::{Objects, Problem};
use crate::node::{HostFacts, NodeFiles, NodeName};
use crate::pod::context::{News, Report};
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
    /// What the service manager shows.
    pub(super) status_line: String,
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
        let Some(begun) = attended(&mut watchdog, &shutdown, self.begin()).await else {
            return Ok(Ended::ToldTo);
        };
        begun?;
        let (events, mut events_seen) = mpsc::channel(EVENTS_IN_FLIGHT);
        let cri = self.cri.clone();
        let watcher = tokio::spawn(async move { containerd::watch(&cri, events).await });

        let mut due = Some(Instant::now());
        let mut relist_at = Instant::now() + self.relist_interval();
        let mut catching_up = [].iter();
        self.take_snapshot();
        let ended = loop {
            self.tell_manager();
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
                () = self.reconciler.holds.changed(), if self.reconciler.awaits_release() => Happening::Due,
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
                Happening::Shutdown(order) => self.follow_shutdown(order),
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

    /// Takes up the pods, knowing whether the machine goes down.
    async fn begin(&mut self) -> Result<(), AgentError> {
        let first_word = self.hear_of_shutdown().await;
        self.take_up_pods().await?;
        if let Some(order) = first_word {
            self.follow_shutdown(order);
        }
        Ok(())
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

    fn relist_interval(&self) -> Duration {
        let usual = if self.has_events { self.settings.runtime_relist_interval } else { WITHOUT_EVENTS };
        // A node without an address has just booted, as a rule; it is looked at sooner.
        if self.facts.borrow().addresses.is_empty() { usual.min(WITHOUT_ADDRESS) } else { usual }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
