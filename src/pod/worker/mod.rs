//! The worker of one pod: observes the runtime, asks the plan what to do, does it, and tells the board.
//!
//! One task a pod; nobody else touches the pod. It wakes for what is written in its inbox, for its probes, for the store, and when a
//! back-off ends; it never polls. What it was in the middle of may be dropped at any await when the pod is told to stop, so after an
//! interruption it looks at the runtime afresh instead of trusting what it remembers.
//!
//! ```text
//!            ┌────────────── wake: event, probe, store, back-off ◄─┐
//!            ▼                                                     │
//!   look ─► plan ─► act (one action) ─► look ─► … ─► at rest ─► report ─► wait
//!            │
//!            └─ told to stop ─► hooks and stop signals ─► sandbox ─► volumes, cgroup ─► records ─► gone
//! ```

mod image;
mod last_words;
mod look;
mod memory;
mod report;
mod sandbox;
mod start;
mod stop;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::PodStatus;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;
use tracing::{Instrument, error, info_span};

use self::memory::Memory;
use super::context::{News, PodContext, Report};
use super::identity::PodUid;
use super::observed::Observed;
use super::plan::{self, Action};
use super::record::PodRecord;
use crate::cri::translate::QosClass;
use crate::cri::translate::hash::container_hash;
use crate::cri::{ContainerId, CriClient, SandboxId, proto};
use crate::manifest::Objects;
use crate::probe::{ProbeEvent, ProbeSet};
use crate::volume::MountSource;

/// What the agent tells a pod to do. Only ever goes from `Run` to `Stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Orders {
    /// Run.
    #[default]
    Run,
    /// Stop gracefully and leave nothing behind.
    Stop {
        /// Why, for people.
        reason: String,
        /// A shorter grace period than the pod's own.
        grace: Option<Duration>,
    },
}

/// Something happened that the pod may have to act on.
#[derive(Debug)]
pub enum Wake {
    /// The runtime says that this sandbox or container has ended.
    Exited(String),
    /// The runtime says that something changed.
    Changed(String),
    /// What the runtime lists of this pod differs from what was known, or events may have been lost.
    LookAgain,
}

/// The agent's end of a worker.
#[derive(Debug)]
pub struct WorkerHandle {
    orders: watch::Sender<Orders>,
    inbox: mpsc::UnboundedSender<Wake>,
}

impl WorkerHandle {
    /// Tells the pod to stop. A pod that was told before keeps its first reason; a shorter grace period counts.
    pub fn stop(&self, reason: &str, grace: Option<Duration>) {
        self.orders.send_if_modified(|orders| match orders {
            Orders::Run => {
                *orders = Orders::Stop { reason: reason.to_owned(), grace };
                true
            }
            Orders::Stop { grace: earlier, .. } => {
                let shorter = grace.is_some_and(|grace| earlier.is_none_or(|earlier| grace < earlier));
                if shorter {
                    *earlier = grace;
                }
                shorter
            }
        });
    }

    /// Wakes the pod.
    pub fn wake(&self, wake: Wake) {
        // A worker that has ended needs no waking.
        let _ = self.inbox.send(wake);
    }
}

/// What the runtime listed of a pod when the agent started.
#[derive(Debug, Default)]
pub struct Listed {
    /// Its sandboxes.
    pub sandboxes: Vec<proto::PodSandbox>,
    /// Its containers.
    pub containers: Vec<proto::Container>,
}

/// Starts the worker of a pod that is on record. `listed` is what the runtime has of it.
pub fn spawn(context: Arc<PodContext>, record: PodRecord, listed: Listed) -> WorkerHandle {
    let (orders, orders_seen) = watch::channel(Orders::Run);
    let (inbox, wakes) = mpsc::unbounded_channel();
    let span = info_span!("pod", pod = %report::full_name(&record.pod), uid = %record.uid, daemonset = %record.daemon_set);
    let uid = record.uid.clone();
    let worker = Worker::new(Arc::clone(&context), record, listed, orders_seen, wakes);
    let task = tokio::spawn(worker.run().instrument(span.clone()));
    // A panic is this pod's failure alone: it is told, and the pod stays as it is until the agent starts it anew.
    let guard = async move {
        if let Err(failure) = task.await
            && failure.is_panic()
        {
            context.metrics.count_worker_panic();
            error!(%uid, "the pod's worker panicked; the pod is left as it is until the agent restarts");
        }
    };
    tokio::spawn(guard.instrument(span));
    WorkerHandle { orders, inbox }
}

/// The state of one pod's worker.
struct Worker {
    context: Arc<PodContext>,
    record: PodRecord,
    /// The hash of each container's definition, by name.
    hashes: BTreeMap<String, String>,
    qos_class: QosClass,
    full_name: String,

    orders: watch::Receiver<Orders>,
    wakes: mpsc::UnboundedReceiver<Wake>,
    objects: watch::Receiver<Arc<Objects>>,
    probes: ProbeSet<CriClient>,
    probe_news: Arc<Notify>,
    probe_events: mpsc::UnboundedReceiver<ProbeEvent>,

    /// What the runtime had of the pod when the agent started, until it is looked at.
    listed: Option<Listed>,
    observed: Observed,
    /// Since when each running container runs, by the monotonic clock.
    running_since: BTreeMap<ContainerId, Instant>,
    /// What must be looked at again before the next plan.
    unsure: Unsure,
    memory: Memory,
    pulls: BTreeMap<String, image::PullMemory>,
    mounts: Option<BTreeMap<String, MountSource>>,
    backing_off: Vec<String>,
    status: Option<PodStatus>,
    ready: Option<News>,
}

/// What is known not to be known.
#[derive(Debug, Default)]
struct Unsure {
    /// Everything: the runtime must be asked for a list.
    everything: bool,
    containers: BTreeSet<ContainerId>,
    sandboxes: BTreeSet<SandboxId>,
    /// Those that an event says have ended: the status may lag behind the event.
    ended: BTreeSet<String>,
}

impl Worker {
    fn new(
        context: Arc<PodContext>,
        record: PodRecord,
        listed: Listed,
        orders: watch::Receiver<Orders>,
        wakes: mpsc::UnboundedReceiver<Wake>,
    ) -> Self {
        let (probe_events, probe_events_seen) = mpsc::unbounded_channel();
        let probe_news = Arc::new(Notify::new());
        let probes =
            ProbeSet::new(context.cri.clone(), Arc::clone(&probe_news), probe_events, context.agent_started);
        let containers = stop::by_name(&record.pod);
        let hashes = containers.into_values().map(|container| {
            let image = container.image.as_deref().unwrap_or_default();
            (container.name.clone(), container_hash(&container.name, image))
        });
        let mut objects = context.objects.clone();
        objects.mark_unchanged();
        Self {
            hashes: hashes.collect(),
            qos_class: QosClass::of(&record.pod).unwrap_or(QosClass::BestEffort),
            full_name: report::full_name(&record.pod),
            orders,
            wakes,
            objects,
            probes,
            probe_news,
            probe_events: probe_events_seen,
            listed: Some(listed),
            observed: Observed::default(),
            running_since: BTreeMap::new(),
            unsure: Unsure { everything: true, ..Unsure::default() },
            memory: Memory::new(context.clock, context.restarts),
            pulls: BTreeMap::new(),
            mounts: None,
            backing_off: Vec::new(),
            status: None,
            ready: None,
            record,
            context,
        }
    }

    async fn run(mut self) {
        let shutdown = self.context.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.live() => {}
        }
    }

    /// Runs the pod until it is told to stop, then stops it.
    async fn live(&mut self) {
        let mut orders = self.orders.clone();
        if self.record.ending.is_none() {
            self.report();
            loop {
                let told = tokio::select! {
                    biased;
                    told = told_to_stop(&mut orders) => told,
                    () = self.sync_and_wait() => continue,
                };
                if told {
                    break;
                }
                // The agent is gone without a word; so are we.
                return;
            }
            self.unsure.everything = true;
        }
        self.end(orders).await;
    }

    /// Brings the pod to where it should be, then waits until something happens.
    async fn sync_and_wait(&mut self) {
        self.context.metrics.count_worker_sync();
        let wake_after = self.sync().await;
        self.report();
        self.wait(wake_after).await;
    }

    /// Looks, plans and acts until there is nothing left to do; says when to look again if nothing happens before.
    async fn sync(&mut self) -> Option<Duration> {
        loop {
            if let Err(retry) = self.look().await {
                return Some(retry);
            }
            self.memory.note_ends(&self.observed);
            self.sync_probes();
            let plan = self.plan();
            self.backing_off = plan.backing_off;
            if plan.actions.is_empty() {
                return plan.wake_after;
            }
            self.report();
            for action in plan.actions {
                if let Err(Abandoned { again_in }) = self.act(action).await {
                    return Some(plan.wake_after.map_or(again_in, |earlier| earlier.min(again_in)));
                }
            }
        }
    }

    fn plan(&self) -> plan::Plan {
        let probes = self.probes.results();
        let verdicts = report::Verdicts(&probes);
        plan::plan(plan::Inputs {
            pod: &self.record.pod,
            hashes: &self.hashes,
            observed: &self.observed,
            probes: &verdicts,
            memory: &self.memory,
        })
    }

    /// Carries out one action. An error ends the round: what was planned after it no longer holds.
    async fn act(&mut self, action: Action) -> Result<(), Abandoned> {
        match action {
            Action::KillPod => self.kill_for_new_sandbox().await,
            Action::RemoveInitRecords(ids) => self.remove_containers(&ids).await,
            Action::CreateSandbox { attempt } => self.create_sandbox(attempt).await,
            Action::KillContainer { id, name, why } => self.kill_container(&id, &name, why).await,
            Action::StartContainer { name, .. } => self.start_container(&name).await,
            Action::RemoveContainer(id) => self.remove_containers(&[id]).await,
            Action::RemoveSandbox(id) => self.remove_sandbox(&id).await,
        }
    }

    async fn wait(&mut self, wake_after: Option<Duration>) {
        let back_off = async {
            match wake_after {
                Some(delay) => sleep(delay).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(wake) = self.wakes.recv() => self.take(wake),
            () = self.probe_news.notified() => {}
            Some(event) = self.probe_events.recv() => self.record_probe_event(event),
            Ok(()) = self.objects.changed() => self.take_objects().await,
            () = back_off => {}
        }
        while let Ok(wake) = self.wakes.try_recv() {
            self.take(wake);
        }
    }

    fn take(&mut self, wake: Wake) {
        let (id, ended) = match wake {
            Wake::LookAgain => {
                self.unsure.everything = true;
                return;
            }
            Wake::Exited(id) => (id, true),
            Wake::Changed(id) => (id, false),
        };
        if self.observed.sandboxes.iter().any(|sandbox| sandbox.id.as_str() == id) {
            self.unsure.sandboxes.insert(id.as_str().into());
        } else {
            self.unsure.containers.insert(id.as_str().into());
        }
        if ended {
            self.unsure.ended.insert(id);
        }
    }

    fn uid(&self) -> &PodUid {
        &self.record.uid
    }
}

/// The rest of a round was given up.
#[derive(Debug, Clone, Copy)]
struct Abandoned {
    /// When to try again if nothing happens before.
    again_in: Duration,
}

impl Abandoned {
    /// After something that the kubelet, too, tries again in its own time (`backOffPeriod`).
    const LATER: Self = Self { again_in: Duration::from_secs(10) };
}

/// Waits for the order to stop. False when there is nobody left to give it.
async fn told_to_stop(orders: &mut watch::Receiver<Orders>) -> bool {
    orders.wait_for(|orders| matches!(orders, Orders::Stop { .. })).await.is_ok()
}

/// Tells the agent something about the pod.
fn tell(context: &PodContext, uid: &PodUid, news: News) {
    // An agent that no longer listens is going down.
    let _ = context.reports.send(Report { uid: uid.clone(), news });
}
