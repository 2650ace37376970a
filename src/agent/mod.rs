//! The agent: the only place that wires the rooms together, starts their tasks and shuts them down.
//!
//! ```text
//!  store ──snapshots──► ┌────────────┐ ──orders──► pod workers ──CRI──► runtime
//!  node  ──Node───────► │ reconciler │ ◄─reports──     │  ▲               │
//!  runtime ─events────► └────────────┘ ──wakes─────────┼──┘ ◄──events─────┘
//!                                                      ▼
//!                                        board ◄── status, Events ──► api
//! ```
//!
//! Everything runs on one thread. The main loop below only turns what happens into calls of the [`Reconciler`]; nothing in it waits
//! for the runtime. Ending the agent ends no pod.

mod host;
mod lock;
mod reconcile;
mod runtime;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use self::host::HostError as DescribeError;
use self::host::RuntimeFacts;
pub use self::lock::LockError;
use self::reconcile::Reconciler;
use self::runtime::{Health, Relist};
use crate::api::{self, ApiState, Socket};
use crate::backoff::BackoffPolicy;
use crate::board::{Board, Metrics, StoreStatus};
use crate::cgroup::{CgroupError, CgroupManager};
use crate::clock::Clock;
use crate::config::{Poll, Settings};
use crate::containerd::{self, RuntimeEvent};
use crate::cri::translate::Host;
use crate::cri::translate::host::{Allocatable, CgroupDriver, CgroupVersion};
use crate::cri::{ClientOptions, CriClient, Endpoint, EndpointError};
use crate::error_chain::error_chain;
use crate::manifest::{Kind, Object, Objects, Problem, Quantity};
use crate::node::host::Host as Machine;
use crate::node::watch::{self as node_watch, Fixed, Sources};
use crate::node::{self, HostFacts, NodeName};
use crate::pod::context::{Directory, PodContext};
use crate::pod::rebuild;
use crate::pod::record::{RecordError, Records};
use crate::pod::worker::Wake;
use crate::rollout::ledger::{Ledger, LedgerError};
use crate::store::{DirSettings, DirStore, Freshness, PollMode, Snapshot, StoreHandle};
use crate::systemd::{ServiceManager, Watchdog};
use crate::volume::{PathError, VolumeRoot};

/// How many events of the runtime may wait for the main loop. More than that is a burst, and a burst ends in a listing.
const EVENTS_IN_FLIGHT: usize = 1024;
/// How often a runtime without events is listed instead.
const WITHOUT_EVENTS: Duration = Duration::from_secs(5);
/// The waits for a runtime that doesn't answer when the agent starts.
const RUNTIME_RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Why the agent can't run.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum AgentError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("find out about this host")]
    Host(#[from] node::HostError),
    #[error("describe this node to its pods")]
    Describe(#[from] DescribeError),
    #[error("prepare the state directory")]
    Volumes(#[from] PathError),
    #[error(transparent)]
    Records(#[from] RecordError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("prepare the pods' cgroups")]
    Cgroups(#[from] CgroupError),
    #[error("use the container runtime's endpoint")]
    Endpoint(#[from] EndpointError),
    #[error("open the API's socket")]
    Api(#[from] api::BindError),
    #[error("make the directory {path}")]
    Directory { path: PathBuf, source: std::io::Error },
}

/// Runs the agent until `shutdown`.
///
/// # Errors
/// When something is missing that it can't do without. A runtime or a store that isn't there is waited for.
pub async fn run(settings: Settings, shutdown: CancellationToken) -> Result<(), AgentError> {
    let _lock = lock::StateLock::take(&settings.root_dir)?;
    let clock = Clock::start();
    let machine = Machine::new("/");
    let name = match &settings.node_name {
        Some(name) => name.clone(),
        None => machine.node_name()?,
    };
    let facts = Arc::new(machine.facts(&settings.root_dir, &settings.node_ips)?);
    let volumes = VolumeRoot::prepare(&settings.root_dir)?;
    for path in [&settings.pod_logs_dir, &settings.container_logs_dir] {
        std::fs::create_dir_all(path)
            .map_err(|source| AgentError::Directory { path: path.clone(), source })?;
    }

    let board = Arc::new(Board::new(name.as_str(), clock.wall()));
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    board.set_pending("runtime", "the container runtime has not answered yet");
    board.set_pending("store", "the store has not been read yet");
    let api = serve_api(&settings, &board, &metrics, &shutdown)?;

    let endpoint = Endpoint::new(&settings.container_runtime_endpoint)?;
    let options = ClientOptions { request_timeout: settings.runtime_request_timeout };
    let cri = CriClient::connect(&endpoint, options);
    let (runtime, runtime_seen) = watch::channel(Health::unknown(clock.wall()));
    let health = Health::new(Arc::clone(&board), runtime);

    let store = DirStore::spawn(store_settings(&settings), shutdown.clone());
    let (store_node, store_node_seen) = watch::channel(None);
    let (_facts, facts_seen) = watch::channel(Arc::clone(&facts));
    let fixed = Fixed {
        name: name.clone(),
        file: settings.node_file.clone(),
        last_good: settings.root_dir.join("node.json"),
        resources: settings.resources.clone(),
    };
    let sources = Sources { store: store_node_seen, facts: facts_seen, runtime: runtime_seen };
    let node = node_watch::spawn(fixed, sources, shutdown.clone());
    board.put_node(Node::clone(&node.node.borrow()));

    // From here on the agent answers and shows what it waits for.
    let waited = tokio::select! {
        facts = wait_for_runtime(&cri, &health) => Some(facts),
        () = shutdown.cancelled() => None,
    };
    let Some(runtime_facts) = waited else { return Ok(()) };
    board.set_met("runtime");

    let allocatable =
        node.node.borrow().status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default();
    let mut host = host::describe(&settings, name.as_str(), &facts, amounts(&allocatable), runtime_facts)?;
    host.node_ips = host::addresses_or_loopback(&facts.addresses);
    let cgroups = cgroups(&host, &facts)?;

    let (reports, reports_seen) = mpsc::unbounded_channel();
    let (objects, objects_seen) = watch::channel(Arc::new(Objects::default()));
    let context = Arc::new(PodContext {
        clock,
        cri: cri.clone(),
        host: Arc::new(host),
        allocatable,
        volumes,
        cgroups,
        board: Arc::clone(&board),
        metrics: Arc::clone(&metrics),
        records: Records::open(&settings.root_dir.join("records"))?,
        pulls: Semaphore::new(settings.max_parallel_image_pulls as usize),
        directory: Directory::default(),
        objects: objects_seen,
        restarts: BackoffPolicy::kubelet_with_max(settings.max_container_restart_period)
            .unwrap_or(BackoffPolicy::KUBELET),
        container_logs_dir: settings.container_logs_dir.clone(),
        reports,
        agent_started: Instant::now().into_std(),
        shutdown: shutdown.clone(),
    });
    let (ledger, refused) = Ledger::open(&settings.root_dir.join("daemonsets"))?;
    for entry in refused {
        warn!(file = %entry.path.display(), reason = entry.reason, "ledger entry refused; it is made anew");
    }
    let reconciler = Reconciler {
        context,
        snapshots: store.snapshots.clone(),
        node: node.node.clone(),
        reports: reports_seen,
        ledger,
        pods: BTreeMap::new(),
    };
    let agent = Agent {
        name,
        settings,
        cri,
        health,
        metrics,
        board,
        store,
        store_node,
        node_problems: node.problems,
        objects,
        reconciler,
        relist: Relist::default(),
        has_events: false,
    };
    agent.run(shutdown.clone()).await?;
    // Requests under way are answered, then the socket is gone.
    if let Err(problem) = api.await {
        warn!(%problem, "the API ended in disorder");
    }
    Ok(())
}

/// What the main loop has to do with.
struct Agent {
    name: NodeName,
    settings: Settings,
    cri: CriClient,
    health: Health,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    store: StoreHandle,
    store_node: watch::Sender<Option<Arc<Node>>>,
    node_problems: watch::Receiver<Vec<Problem>>,
    objects: watch::Sender<Arc<Objects>>,
    reconciler: Reconciler,
    relist: Relist,
    /// Whether the runtime tells what happens, or must be asked.
    has_events: bool,
}

/// One thing that happened.
enum Happening {
    Store,
    Node,
    Report(crate::pod::context::Report),
    Runtime(RuntimeEvent),
    RelistDue,
    Due,
    Alive,
}

impl Agent {
    async fn run(mut self, shutdown: CancellationToken) -> Result<(), AgentError> {
        self.take_up_pods().await?;
        let (events, mut events_seen) = mpsc::channel(EVENTS_IN_FLIGHT);
        let watched = self.cri.clone();
        let watcher = tokio::spawn(async move { containerd::watch(&watched, events).await });

        let mut watchdog = Watchdog::from_environment();
        let mut due: Option<Instant> = None;
        let mut relist_at = Instant::now() + self.relist_interval();
        ServiceManager.ready(&format!(
            "node {}: looking after {} pods",
            self.name,
            self.reconciler.pods.len()
        ));
        self.take_snapshot();
        loop {
            // Every arm is cancel safe: watch and mpsc receivers lose nothing, and the timers are absolute.
            let happening = tokio::select! {
                () = shutdown.cancelled() => break,
                Ok(()) = self.store.snapshots.changed() => Happening::Store,
                Ok(()) = self.reconciler.node.changed() => Happening::Node,
                Ok(()) = self.node_problems.changed() => Happening::Store,
                Some(report) = self.reconciler.reports.recv() => Happening::Report(report),
                Some(event) = events_seen.recv() => Happening::Runtime(event),
                () = tokio::time::sleep_until(relist_at) => Happening::RelistDue,
                () = until(due) => Happening::Due,
                () = watchdog.due() => Happening::Alive,
            };
            match happening {
                Happening::Store => self.take_snapshot(),
                Happening::Node => self.board.put_node(Node::clone(&self.reconciler.node.borrow())),
                Happening::Report(report) => {
                    self.reconciler.take(&report);
                    while let Ok(report) = self.reconciler.reports.try_recv() {
                        self.reconciler.take(&report);
                    }
                }
                Happening::Runtime(event) => {
                    self.take_event(&event);
                    continue;
                }
                Happening::RelistDue => {
                    self.look_at_runtime().await;
                    relist_at = Instant::now() + self.relist_interval();
                    continue;
                }
                Happening::Alive => {
                    watchdog.alive(&ServiceManager);
                    continue;
                }
                Happening::Due => {}
            }
            self.metrics.count_reconcile();
            due = self.reconciler.reconcile().map(|delay| Instant::now() + delay);
        }
        ServiceManager.stopping("pods go on running");
        info!("the agent ends; its pods go on running");
        watcher.abort();
        Ok(())
    }

    /// Takes into care what is on record and what the runtime has. Waits for the runtime: without its answer a pod that runs
    /// could be taken for one that doesn't.
    async fn take_up_pods(&mut self) -> Result<(), AgentError> {
        let (records, refused) = self.reconciler.context.records.load()?;
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
        for record in records {
            let listed = listing.remove(&record.uid).unwrap_or_default();
            self.reconciler.adopt(record, listed);
        }
        self.end_strays(listing);
        Ok(())
    }

    /// Ends pods that carry our mark and are on no record.
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
        if snapshot.freshness != Freshness::Unknown {
            self.board.set_met("store");
        }
        let node = match snapshot.objects.get(Kind::Node, "", self.name.as_str()) {
            Some(Object::Node(found)) => Some(Arc::new(Node::clone(found))),
            _ => None,
        };
        self.store_node.send_if_modified(|shown| {
            let changed = *shown != node;
            *shown = node;
            changed
        });
        let status = self.store_status(&snapshot);
        self.board.set_store_status(status);
        let objects = pod_objects(&snapshot.objects);
        self.objects.send_if_modified(|shown| {
            let changed = **shown != objects;
            if changed {
                *shown = Arc::new(objects);
            }
            changed
        });
    }

    fn store_status(&mut self, snapshot: &Snapshot) -> StoreStatus {
        let mut problems = self.node_problems.borrow_and_update().clone();
        problems.extend(snapshot.problems.iter().cloned());
        StoreStatus {
            source: self.settings.store.path.display().to_string(),
            freshness: snapshot.freshness.clone(),
            problems,
            ignored: snapshot.ignored.clone(),
            set_aside: BTreeMap::new(),
            objects: snapshot.objects.0.len(),
        }
    }

    fn take_event(&mut self, event: &RuntimeEvent) {
        match event {
            RuntimeEvent::Exited { id, .. } => {
                self.reconciler.wake(id.as_str(), Wake::Exited(id.to_string()))
            }
            RuntimeEvent::Oom { .. } | RuntimeEvent::Changed { .. } => {}
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

    /// The slow look that makes sure: events may be lost.
    async fn look_at_runtime(&mut self) {
        let checked = self.health.check(&self.cri).await;
        let listed = match checked {
            Ok(()) => runtime::list(&self.cri, self.name.as_str()).await,
            Err(problem) => Err(problem),
        };
        match listed {
            Ok(listing) => {
                for uid in self.relist.changed(&listing) {
                    self.reconciler.wake_pod(&uid);
                }
                self.end_strays(listing);
            }
            Err(problem) => debug!(%problem, "cannot list what the runtime has"),
        }
        self.board.expire_events(self.reconciler.context.clock.wall());
    }

    fn relist_interval(&self) -> Duration {
        if self.has_events { self.settings.runtime_relist_interval } else { WITHOUT_EVENTS }
    }
}

/// Serves the API until `shutdown`.
fn serve_api(
    settings: &Settings,
    board: &Arc<Board>,
    metrics: &Arc<Metrics>,
    shutdown: &CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, AgentError> {
    let socket = Socket::bind(&settings.api_socket)?;
    let state = ApiState::new(
        Arc::clone(board),
        Arc::clone(metrics),
        settings.pod_logs_dir.clone(),
        env!("CARGO_PKG_VERSION"),
        shutdown.clone(),
    );
    Ok(tokio::spawn(async move {
        if let Err(problem) = api::serve(socket, state).await {
            warn!(%problem, "the API has stopped");
        }
    }))
}

/// Asks the runtime until it answers.
async fn wait_for_runtime(cri: &CriClient, health: &Health) -> RuntimeFacts {
    let (mut pause, longest) = RUNTIME_RETRY;
    loop {
        let answer = match health.check(cri).await {
            Ok(()) => RuntimeFacts::ask(cri).await,
            Err(problem) => Err(problem),
        };
        match answer {
            Ok(facts) => return facts,
            Err(problem) => debug!(%problem, "waiting for the container runtime"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Makes the cgroups that all pods lie in.
fn cgroups(host: &Host, facts: &HostFacts) -> Result<CgroupManager, AgentError> {
    let version = match host.cgroups.version {
        CgroupVersion::V1 => crate::cgroup::Version::V1,
        CgroupVersion::V2 => crate::cgroup::Version::V2,
    };
    let driver = match host.cgroups.driver {
        CgroupDriver::Cgroupfs => crate::cgroup::Driver::Cgroupfs,
        CgroupDriver::Systemd => crate::cgroup::Driver::Systemd,
    };
    let root =
        crate::cri::translate::cgroup_parent::CgroupName::all_pods(&host.cgroups).path(host.cgroups.driver);
    let manager = CgroupManager::new(version, driver, Path::new("/sys/fs/cgroup"), &root)?;
    let limits = crate::cgroup::Limits {
        cpu_shares: Some(u64::from(facts.cpus) * 1024),
        memory: Some(facts.memory_bytes),
        ..crate::cgroup::Limits::default()
    };
    manager.ensure_qos_hierarchy(&limits, 2)?;
    Ok(manager)
}

fn store_settings(settings: &Settings) -> DirSettings {
    let store = &settings.store;
    DirSettings {
        settle: store.settle,
        poll: match store.poll {
            Poll::Auto => PollMode::Auto,
            Poll::Always => PollMode::Always,
            Poll::Never => PollMode::Never,
        },
        poll_interval: store.poll_interval,
        relist_interval: store.relist_interval,
        empty_hold: store.empty_hold,
        ..DirSettings::new(&store.path, settings.root_dir.join("store/last-good.json"))
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

fn amounts(
    allocatable: &BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>,
) -> Allocatable {
    let amount = |name: &str| allocatable.get(name).and_then(|text| text.0.parse::<Quantity>().ok());
    Allocatable {
        cpu_milli: amount("cpu").map_or(0, |amount| amount.milli_value()),
        memory_bytes: amount("memory").map_or(0, |amount| amount.value()),
        ephemeral_storage_bytes: amount("ephemeral-storage").map(|amount| amount.value()),
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
