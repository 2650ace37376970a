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
//! Everything runs on one thread. [`run`] puts the rooms together in the order in which they can answer: the API first, so that an
//! agent that waits for its runtime or its store says so. Ending the agent ends no pod.

mod cpu_sharing;
mod derived;
mod eviction;
mod hand_over;
mod holding;
mod host;
mod image_gc;
mod kubelet_watch;
mod lock;
mod log_rotation;
mod main_loop;
mod node_shutdown;
mod obey;
pub mod offline;
mod oom_watch;
mod orphans;
mod prefetch;
mod reconcile;
mod recording;
mod reset;
mod runtime;
mod stance;
mod standby;
mod store_news;
mod take_over;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use thiserror::Error;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::derived::{STORE_DIR, amounts, cgroups, credentials_file, meter, node_limits, store_settings};
pub(crate) use self::derived::{last_good, store_trust};
use self::holding::Holding;
use self::host::RuntimeFacts;
use self::image_gc::ImageGc;
use self::kubelet_watch::KubeletWatch;
pub use self::lock::LockError;
use self::main_loop::Agent;
use self::node_shutdown::NodeShutdown;
use self::orphans::Orphans;
use self::prefetch::Prefetch;
use self::reconcile::{Reconciler, Released};
use self::recording::Recording;
use self::runtime::{Health, Look, Relist};
use self::store_news::StoreNews;
use crate::api::{self, ApiState, Changes, Socket};
use crate::atomic_file::AtomicFileError;
use crate::backoff::BackoffPolicy;
use crate::board::{Board, MethodCount, Metrics, StoreStatus};
use crate::bundle;
use crate::cgroup::CgroupError;
use crate::clock::Clock;
use crate::config::Settings;
use crate::cri::{ClientOptions, CriClient, Endpoint, EndpointError};
use crate::error_chain::error_chain;
use crate::eviction::control::Control;
use crate::eviction::stall::Stalls;
use crate::kubelet::Sign;
use crate::kubelet::standing_back::NoteError;
use crate::manifest::{DaemonSetKey, Objects};
use crate::node::host::Host as ThisHost;
use crate::node::watch::{self as node_watch, Fixed, Sources};
use crate::node::{self, NodeFiles, Pressure};
use crate::pod::context::{Directory, PodContext};
use crate::pod::network::Network;
use crate::pod::node_credentials::NodeCredentials;
use crate::pod::record::{RecordError, Records};
use crate::pod::sandbox_image::{self, SandboxImage};
use crate::pod::user_namespace::UserNamespaces;
use crate::preload::{self, Preload};
use crate::rollout::history::History;
use crate::rollout::ledger::{Ledger, LedgerError};
use crate::store::DirStore;
use crate::systemd::logind::Machine;
use crate::systemd::{ServiceManager, Watchdog};
use crate::volume::{PathError, VolumeRoot};
pub use hand_over::{Step as HandOverStep, hand_over, plan as plan_hand_over, text as static_pod_text};
pub use reset::{ResetError, removable, reset};
pub use take_over::{TakeOverError, Taken, take_over};

/// Where revisions are kept, below the state directory.
const REVISIONS_DIR: &str = "revisions";
/// Where holds are kept, below the state directory.
const HOLDS_FILE: &str = "holds.json";
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
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("write the static pod {path}")]
    StaticPod { path: PathBuf, source: AtomicFileError },
    #[error(
        "{0}, and would kill every pod of daemonlet: stop one of the two, or see onKubelet in the configuration"
    )]
    Kubelet(Sign),
}

/// What an agent runs for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    /// Looking after the node's pods, until it is told to end.
    LookAfter,
    /// Ending every pod that is here, with its hooks and its grace; then it ends itself.
    EndPods,
    /// Ending the pods of one DaemonSet, and leaving all others as they are.
    EndPodsOf(DaemonSetKey),
}

/// Why an agent no longer looks after pods.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    /// It was told to end.
    ToldTo,
    /// It has done what it was for.
    Done,
    /// A kubelet uses the runtime.
    Kubelet(Sign),
}

/// Runs the agent until `shutdown`.
///
/// # Errors
/// When something is missing that it can't do without. A runtime or a store that isn't there is waited for.
pub async fn run(settings: Settings, shutdown: CancellationToken) -> Result<(), AgentError> {
    stance::run(&settings, &shutdown).await
}

/// Ends every pod of this node, with its hooks and its grace; says whether all are gone before `shutdown`.
///
/// # Errors
/// As [`run`].
pub async fn end_pods(settings: &Settings, shutdown: &CancellationToken) -> Result<bool, AgentError> {
    let _lock = lock::StateLock::take(&settings.root_dir)?;
    Ok(attend(settings, Purpose::EndPods, shutdown).await? == Ended::Done)
}

/// Does what an agent is for. Nothing of it is left when this returns but the pods. Whoever calls holds the lock.
async fn attend(
    settings: &Settings,
    purpose: Purpose,
    shutdown: &CancellationToken,
) -> Result<Ended, AgentError> {
    let shutdown = shutdown.child_token();
    let _ending = shutdown.clone().drop_guard();
    // It is large, and lives for as long as the agent: once on the heap rather than in each future around it.
    Box::pin(attend_until(settings.clone(), purpose, shutdown)).await
}

#[expect(clippy::too_many_lines, reason = "one room after the other, in the order in which they can answer")]
async fn attend_until(
    settings: Settings,
    purpose: Purpose,
    shutdown: CancellationToken,
) -> Result<Ended, AgentError> {
    let clock = Clock::start();
    let machine = ThisHost::new("/");
    let name = match &settings.node_name {
        Some(name) => name.clone(),
        None => machine.node_name()?,
    };
    let facts = Arc::new(machine.facts(&settings.root_dir, &settings.node_ips)?);
    let volumes = VolumeRoot::prepare(&settings.root_dir)?;
    if let Err(error) = volumes.make_shared() {
        warn!(error = error_chain(&error), "mounts that containers make in volumes will not reach the host");
    }
    let store_dir = settings.root_dir.join(STORE_DIR);
    for path in [&settings.pod_logs_dir, &settings.container_logs_dir, &store_dir] {
        std::fs::create_dir_all(path)
            .map_err(|source| AgentError::Directory { path: path.clone(), source })?;
    }

    let board = Arc::new(Board::new(name.as_str(), clock.wall()));
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    board.set_store_status(StoreStatus {
        source: settings.store.path.display().to_string(),
        ..StoreStatus::default()
    });
    board.set_pending("runtime", "the container runtime has not answered yet");
    board.set_pending("store", "the store has not been read yet");
    let revisions_dir = settings.root_dir.join(REVISIONS_DIR);
    let (commands, commands_seen) = api::command::line();
    let changes = Changes { commands, revisions_dir: revisions_dir.clone() };
    let api = serve_api(&settings, &board, &metrics, &shutdown, changes)?;

    let endpoint = Endpoint::new(&settings.container_runtime_endpoint)?;
    let options = ClientOptions { request_timeout: settings.runtime_request_timeout };
    let cri = CriClient::connect(&endpoint, options);
    let counted = cri.clone();
    metrics.count_calls_by(move || {
        let counts = counted.calls();
        counts
            .map(|it| MethodCount { method: it.method.name(), calls: it.calls, failures: it.failures })
            .collect()
    });
    let (runtime, runtime_seen) = watch::channel(Health::unknown(clock.wall()));
    let health = Health::new(Arc::clone(&board), runtime);

    let store = DirStore::spawn(store_settings(&settings), shutdown.clone());
    let (store_node, store_node_seen) = watch::channel(None);
    let (pressure, pressure_seen) = watch::channel(Pressure::none(clock.wall_seconds()));
    let (facts_told, facts_seen) = watch::channel(Arc::clone(&facts));
    let node_files =
        NodeFiles { file: settings.node_file.clone(), last_good: settings.root_dir.join("node.json") };
    let fixed = Fixed {
        name: name.clone(),
        files: node_files.clone(),
        taint_times: settings.root_dir.join("taints.json"),
        clock,
        resources: settings.resources.clone(),
    };
    let sources = Sources {
        store: store_node_seen,
        facts: facts_seen,
        runtime: runtime_seen,
        pressure: pressure_seen.clone(),
    };
    let node = node_watch::spawn(fixed, sources, shutdown.clone());
    board.put_node(Node::clone(&node.node.borrow()));

    // From here on the agent answers and shows what it waits for.
    let mut watchdog = Watchdog::from_environment();
    ServiceManager.ready("waiting for the container runtime");
    let waited = attended(&mut watchdog, &shutdown, wait_for_runtime(&cri, &health)).await;
    let Some(runtime_facts) = waited else { return Ok(Ended::ToldTo) };
    board.set_met("runtime");

    let allocatable =
        node.node.borrow().status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default();
    let host = host::describe(&settings, name.as_str(), &facts, amounts(&allocatable), runtime_facts);
    let node_limits = node_limits(&facts, &settings.resources);
    let memory_of_pods = node_limits.memory.unwrap_or(facts.memory_bytes);
    let cgroups = cgroups(&host)?;
    cgroups.ensure_qos_hierarchy(&node_limits, cpu_sharing::FEWEST).await?;
    let (burstable_shares, asked_for) = watch::channel(cpu_sharing::FEWEST);
    let sharing = cpu_sharing::keep(cgroups.clone(), node_limits, asked_for);
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(sharing));
    let meter = meter(&settings.root_dir, &host, &facts, memory_of_pods);
    let (host, host_seen) = watch::channel(Arc::new(host));

    let (preload, preloading) = Preload::spawn(preload::Surroundings {
        folder: settings.image_archives_dir(),
        memory: settings.root_dir.join(preload::MEMORY),
        bundles: settings.root_dir.join(bundle::STATE),
        cri: cri.clone(),
        board: Arc::clone(&board),
        clock,
    });
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(preloading));
    let image_imports = preload.imports();
    let sandbox_image = SandboxImage::new(sandbox_image::Surroundings {
        cri: cri.clone(),
        preload: preload.clone(),
        built_in: settings.built_in_sandbox_image,
        board: Arc::clone(&board),
        clock,
    });
    let (reports, reports_seen) = mpsc::unbounded_channel();
    let (objects, objects_seen) = watch::channel(Arc::new(Objects::default()));
    let context = Arc::new(PodContext {
        clock,
        cri: cri.clone(),
        host: host_seen,
        allocatable,
        pressure: pressure_seen,
        users: UserNamespaces::new(volumes.pods_dir()),
        volumes,
        cgroups,
        board: Arc::clone(&board),
        metrics: Arc::clone(&metrics),
        records: Records::open(&settings.root_dir.join("records"))?,
        pulls: Semaphore::new(settings.max_parallel_image_pulls as usize),
        preload,
        sandbox_image,
        network: Network::new(cri.clone()),
        node_credentials: NodeCredentials::new(credentials_file(&settings)),
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
    let (history, refused) = History::open(&revisions_dir)
        .map_err(|source| AgentError::Directory { path: revisions_dir.clone(), source })?;
    for (path, reason) in refused {
        warn!(file = %path.display(), reason, "revision refused; there is no way back to it");
    }
    let rotation = log_rotation::keep_within(
        settings.container_logs,
        Arc::clone(&board),
        cri.clone(),
        settings.pod_logs_dir.clone(),
    );
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(rotation));
    let (ask_images, images_asked) = mpsc::channel(1);
    let images = ImageGc {
        thresholds: settings.image_gc,
        clock,
        cri: cri.clone(),
        board: Arc::clone(&board),
        snapshots: store.snapshots.clone(),
        disk: Arc::new(image_gc::usage_of),
        asked: images_asked,
    };
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(images.run()));
    let (demands, demands_seen) = mpsc::unbounded_channel();
    let limited = Arc::new(Notify::new());
    let surroundings = eviction::Machine {
        meter,
        context: Arc::clone(&context),
        stalls: Stalls::of_memory(),
        limited: Arc::clone(&limited),
        demands,
        images: ask_images,
        pressure,
    };
    let control = Control::new(settings.eviction.clone(), surroundings);
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(control.run()));
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(oom_watch::run(Arc::clone(&board), clock)));
    let (orders, shutdown_orders) = mpsc::unbounded_channel();
    let node_shutdown =
        NodeShutdown { schedule: settings.shutdown.clone(), board: Arc::clone(&board), orders };
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(node_shutdown.run()));
    let orphans = Orphans::new(Arc::clone(&context));
    let reconciler = Reconciler {
        context,
        snapshots: store.snapshots.clone(),
        node: node.node.clone(),
        reports: reports_seen,
        ledger,
        history,
        prefetch: Prefetch::default(),
        holds: Holding::open(
            settings.root_dir.join(HOLDS_FILE),
            settings.holds_dir.clone(),
            settings.hold_file_ttl,
        ),
        recording: Recording::default(),
        pods: BTreeMap::new(),
        leaving: BTreeSet::new(),
        burstable_shares,
        known: BTreeMap::new(),
        limited,
        machine: Machine::Up,
        waiting: BTreeMap::new(),
        policy: settings.policy.clone(),
        released: Released::of(&purpose),
    };
    let kubelet = match purpose {
        Purpose::LookAfter => KubeletWatch::spawn(&settings, &cri, &shutdown),
        Purpose::EndPods | Purpose::EndPodsOf(_) => KubeletWatch::off(),
    };
    let store_news = StoreNews::new(settings.store.path.display().to_string(), Arc::clone(&board), clock);
    let agent = Agent {
        name,
        settings,
        cri,
        health,
        metrics,
        board,
        store,
        store_news,
        store_node,
        node_files,
        node_problems: node.problems,
        objects,
        reconciler,
        demands: demands_seen,
        image_imports,
        relist: Relist::default(),
        has_events: false,
        facts: facts_told,
        host,
        node_pending: false,
        look: Look::default(),
        orphans,
        shutdown_orders,
        commands: commands_seen,
        kubelet,
    };
    let ended = agent.run(watchdog, shutdown.clone()).await?;
    // The loop may have ended by itself.
    shutdown.cancel();
    // Requests under way are answered, then the socket is gone.
    if let Err(problem) = api.await {
        warn!(%problem, "the API ended in disorder");
    }
    Ok(ended)
}

/// Serves the API until `shutdown`.
fn serve_api(
    settings: &Settings,
    board: &Arc<Board>,
    metrics: &Arc<Metrics>,
    shutdown: &CancellationToken,
    changes: Changes,
) -> Result<tokio::task::JoinHandle<()>, AgentError> {
    let socket = Socket::bind(&settings.api_socket)?;
    let state = ApiState::new(
        Arc::clone(board),
        Arc::clone(metrics),
        settings.pod_logs_dir.clone(),
        env!("CARGO_PKG_VERSION"),
        shutdown.clone(),
        changes,
    );
    Ok(tokio::spawn(async move {
        if let Err(problem) = api::serve(socket, state).await {
            warn!(%problem, "the API has stopped");
        }
    }))
}

/// Waits for something that may take for ever: the service manager hears that the agent lives, and a shutdown ends the wait.
async fn attended<T>(
    watchdog: &mut Watchdog,
    shutdown: &CancellationToken,
    wait: impl Future<Output = T>,
) -> Option<T> {
    let mut wait = pin!(wait);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return None,
            done = &mut wait => return Some(done),
            () = watchdog.due() => watchdog.alive(&ServiceManager),
        }
    }
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
