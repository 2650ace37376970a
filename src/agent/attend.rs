//! Puts the rooms together in the order in which they can answer: the API first, so that an agent that waits for its runtime or its store says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::attended::attended;
use super::base::Base;
use super::derived::{amounts, cgroups, credentials_file, meter, node_limits, store_settings};
use super::housekeeping::{self, Needs};
use super::kubelet_watch::KubeletWatch;
use super::main_loop::Agent;
use super::orphans::Orphans;
use super::reconcile::{Reconciler, Surroundings};
use super::runtime::{Health, Look, Relist, wait_for_runtime};
use super::store_news::{self, StoreNews};
use super::{AgentError, Ended, Purpose, cpu_sharing, host, serving};
use crate::api::{self, Changes};
use crate::backoff::BackoffPolicy;
use crate::cgroup::CgroupManager;
use crate::config::Settings;
use crate::cri::translate::Host;
use crate::manifest::Objects;
use crate::node::watch::{self as node_watch, Fixed, Sources};
use crate::node::{NodeFiles, Pressure};
use crate::pod::context::{Directory, PodContext, Report};
use crate::pod::network::Network;
use crate::pod::node_credentials::NodeCredentials;
use crate::pod::record::Records;
use crate::pod::sandbox_image::{self, SandboxImage};
use crate::pod::user_namespace::UserNamespaces;
use crate::preload::{self, Preload};
use crate::state_dir::StateEntry;
use crate::store::DirStore;
use crate::systemd::{ServiceManager, Watchdog};
use crate::volume::VolumeRoot;

/// Does what an agent is for. Nothing of it is left when this returns but the pods. Whoever calls holds the lock.
pub(super) async fn attend(
    settings: &Settings,
    purpose: Purpose,
    shutdown: &CancellationToken,
) -> Result<Ended, AgentError> {
    let shutdown = shutdown.child_token();
    let _ending = shutdown.clone().drop_guard();
    // It is large, and lives for as long as the agent: once on the heap rather than in each future around it.
    Box::pin(attend_until(settings.clone(), purpose, shutdown)).await
}

async fn attend_until(
    settings: Settings,
    purpose: Purpose,
    shutdown: CancellationToken,
) -> Result<Ended, AgentError> {
    let base = Base::new(settings, &purpose, shutdown)?;
    let Base { settings, clock, name, facts, board, metrics, cri, shutdown } = &base;
    let volumes = base.make_directories()?;
    let (commands, commands_seen) = api::command::line();
    let changes = Changes { commands, revisions_dir: StateEntry::Revisions.below(&settings.root_dir) };
    let api = serving::serve(settings, board, metrics, shutdown, changes)?;

    let (runtime, runtime_seen) = watch::channel(Health::unknown(clock.wall()));
    let health = Health::new(Arc::clone(board), runtime);
    let store = DirStore::spawn(store_settings(settings), shutdown.clone());
    base.spawn(store_news::note_listings(store.listings.clone(), Arc::clone(metrics)));
    let (store_node, store_node_seen) = watch::channel(None);
    let (pressure, pressure_seen) = watch::channel(Pressure::none(clock.wall_seconds()));
    let (facts_told, facts_seen) = watch::channel(Arc::clone(facts));
    let sources = Sources {
        store: store_node_seen,
        facts: facts_seen,
        runtime: runtime_seen,
        pressure: pressure_seen.clone(),
    };
    let fixed = fixed(&base);
    let node_files = fixed.files.clone();
    let node = node_watch::spawn(fixed, sources, shutdown.clone());
    board.put_node(Node::clone(&node.node.borrow()));

    // From here on the agent answers and shows what it waits for.
    let mut watchdog = Watchdog::from_environment();
    ServiceManager.ready("waiting for the container runtime");
    let waited = attended(&mut watchdog, shutdown, wait_for_runtime(cri, &health)).await;
    let Some(runtime_facts) = waited else { return Ok(Ended::ToldTo) };
    board.set_met("runtime");

    let allocatable =
        node.node.borrow().status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default();
    let host = host::describe(settings, name.as_str(), facts, amounts(&allocatable), runtime_facts);
    let node_limits = node_limits(facts, &settings.resources);
    let meter = meter(&settings.root_dir, &host, facts, node_limits.memory.unwrap_or(facts.memory_bytes));
    let cgroups = cgroups(&host)?;
    cgroups.ensure_qos_hierarchy(&node_limits, cpu_sharing::FEWEST).await?;
    let (burstable_shares, asked_for) = watch::channel(cpu_sharing::FEWEST);
    base.spawn(cpu_sharing::keep(cgroups.clone(), node_limits, asked_for));
    let (host, host_seen) = watch::channel(Arc::new(host));

    let (reports, reports_seen) = mpsc::unbounded_channel();
    let (objects, objects_seen) = watch::channel(Arc::new(Objects::default()));
    let told = Told { host: host_seen, pressure: pressure_seen, objects: objects_seen };
    let context = Arc::new(context(&base, volumes, cgroups, allocatable, told, reports)?);
    let image_imports = context.preload.imports();
    let orphans = Orphans::new(Arc::clone(&context));
    let needs = Needs { context: Arc::clone(&context), meter, snapshots: store.snapshots.clone(), pressure };
    let wants = housekeeping::begin(&base, needs);
    let surroundings = Surroundings {
        context,
        snapshots: store.snapshots.clone(),
        node: node.node.clone(),
        reports: reports_seen,
        burstable_shares,
        limited: wants.limited,
        kept_images: wants.kept_images,
    };
    let reconciler = Reconciler::open(settings, surroundings, &purpose)?;
    let kubelet = match purpose {
        Purpose::LookAfter => KubeletWatch::spawn(settings, cri, shutdown),
        Purpose::EndPods | Purpose::EndPodsOf(_) => KubeletWatch::off(),
    };
    let source = settings.store.path.display().to_string();
    let store_news = StoreNews::new(source, Arc::clone(board), Arc::clone(metrics), *clock);
    let Base { settings, name, board, metrics, cri, shutdown, .. } = base;
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
        demands: wants.demands,
        image_imports,
        relist: Relist::default(),
        has_events: false,
        facts: facts_told,
        host,
        node_pending: false,
        look: Look::default(),
        orphans,
        shutdown_orders: wants.shutdown_orders,
        commands: commands_seen,
        kubelet,
        status_line: String::new(),
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

/// What doesn't change of the node while the agent runs.
fn fixed(base: &Base) -> Fixed {
    let root_dir = &base.settings.root_dir;
    Fixed {
        name: base.name.clone(),
        files: NodeFiles {
            file: base.settings.node_file.clone(),
            last_good: StateEntry::NodeFile.below(root_dir),
        },
        taint_times: StateEntry::TaintTimes.below(root_dir),
        first_seen: StateEntry::FirstSeen.below(root_dir),
        clock: base.clock,
        resources: base.settings.resources.clone(),
    }
}

/// What pod workers are told while they run.
struct Told {
    host: watch::Receiver<Arc<Host>>,
    pressure: watch::Receiver<Pressure>,
    objects: watch::Receiver<Arc<Objects>>,
}

/// What pod workers have in common. Image archives are taken up from here on.
fn context(
    base: &Base,
    volumes: VolumeRoot,
    cgroups: CgroupManager,
    allocatable: BTreeMap<String, Quantity>,
    told: Told,
    reports: mpsc::UnboundedSender<Report>,
) -> Result<PodContext, AgentError> {
    let Base { settings, clock, facts, board, metrics, cri, shutdown, .. } = base;
    let (preload, preloading) = Preload::spawn(preload::Surroundings {
        folder: settings.image_archives_dir(),
        memory: StateEntry::Images.below(&settings.root_dir),
        bundles: StateEntry::Bundles.below(&settings.root_dir),
        cri: cri.clone(),
        board: Arc::clone(board),
        clock: *clock,
    });
    base.spawn(preloading);
    let sandbox_image = SandboxImage::new(sandbox_image::Surroundings {
        cri: cri.clone(),
        preload: preload.clone(),
        built_in: settings.built_in_sandbox_image,
        board: Arc::clone(board),
        clock: *clock,
    });
    Ok(PodContext {
        clock: *clock,
        boot: facts.boot_id.clone(),
        cri: cri.clone(),
        host: told.host,
        allocatable,
        pressure: told.pressure,
        users: UserNamespaces::new(volumes.pods_dir()),
        volumes,
        cgroups,
        board: Arc::clone(board),
        metrics: Arc::clone(metrics),
        records: Records::open(&StateEntry::Records.below(&settings.root_dir))?,
        pulls: Semaphore::new(settings.max_parallel_image_pulls as usize),
        preload,
        sandbox_image,
        network: Network::new(cri.clone()),
        node_credentials: NodeCredentials::new(credentials_file(settings)),
        directory: Directory::default(),
        objects: told.objects,
        restarts: BackoffPolicy::kubelet_with_max(settings.max_container_restart_period)
            .unwrap_or(BackoffPolicy::KUBELET),
        container_logs_dir: settings.container_logs_dir.clone(),
        reports,
        agent_started: Instant::now().into_std(),
        shutdown: shutdown.clone(),
    })
}
