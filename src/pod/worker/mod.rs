//! The worker of one pod: observes the runtime, asks the plan what to do, does it, and tells the board.
//!
//! One task a pod; nobody else touches the pod. It wakes for what is written in its inbox, for its probes, for the store, and when a
//! back-off ends; it never polls. What it was in the middle of may be dropped at any await when the pod is told to stop, so after an
//! interruption it looks at the runtime afresh instead of trusting what it remembers. Requests that make something are carried to their
//! end all the same (`unfinished`): what they make must not come to be after that look.
//!
//! ```text
//!            ┌────────────── wake: event, probe, store, back-off ◄─┐
//!            ▼                                                     │
//!   look ─► plan ─► act (one action) ─► look ─► … ─► at rest ─► report ─► wait
//!            │
//!            ├─ told to stop ─► hooks and stop signals ─► sandbox ─► volumes, cgroup ─► records ─► gone
//!            │                                                                            ▲
//!            └─ refused, or told to fail ─► the same, but its status and record stay ─────┘ when told to stop
//! ```

mod addresses;
mod container;
mod end;
mod events;
mod fail;
mod forgotten;
mod handle;
mod image;
mod killer;
mod last_words;
mod left_tasks;
mod look;
mod meanwhile;
mod memory;
mod pulling;
mod report;
mod request;
mod sandbox;
mod standing;
mod start;
mod stop;
#[cfg(test)]
mod tests;
mod unfinished;
mod vanished;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tracing::warn;

use self::forgotten::Forgotten;
use self::handle::Inbox;
pub use self::handle::{Listed, Orders, Wake, WorkerHandle, spawn};
use self::left_tasks::LookedAt;
use self::look::Unsure;
use self::meanwhile::Recorder;
use self::memory::Memory;
use self::unfinished::Unfinished;
use super::context::{News, PodContext, Report};
use super::failure::Failure;
use super::identity::PodUid;
use super::observed::Observed;
use super::plan::{self, Action, Spare};
use super::record::{PodRecord, Standing};
use super::status::Vanished;
use crate::complaints::Complaints;
use crate::cri::translate::QosClass;
use crate::cri::translate::hash::container_hash;
use crate::cri::{ContainerId, CriClient, SandboxId};
use crate::image::Pulling;
use crate::manifest::Objects;
use crate::probe::ProbeSet;
use crate::volume::MountSource;

/// The state of one pod's worker.
struct Worker {
    context: Arc<PodContext>,
    record: PodRecord,
    /// The hash of each container's definition, by name.
    hashes: BTreeMap<String, String>,
    qos_class: QosClass,
    full_name: String,

    orders: watch::Receiver<Orders>,
    inbox: Arc<Inbox>,
    objects: watch::Receiver<Arc<Objects>>,
    probes: ProbeSet<CriClient>,
    probe_news: Arc<Notify>,

    /// What the runtime had of the pod when the agent started, until it is looked at.
    listed: Option<Listed>,
    observed: Observed,
    /// The containers that were known and of which the runtime has no record now.
    vanished: BTreeMap<String, Vanished>,
    /// Since when each running container runs, by the monotonic clock.
    running_since: BTreeMap<ContainerId, Instant>,
    /// What must be looked at again before the next plan.
    unsure: Unsure,
    unfinished: Unfinished,
    memory: Memory,
    /// The ended containers that were asked about a task that outlives them.
    looked_at: LookedAt,
    pulls: BTreeMap<String, image::PullMemory>,
    /// The pull that goes on, if it takes long enough to be told of.
    pulling: Option<Box<Pulling>>,
    mounts: Option<BTreeMap<String, MountSource>>,
    /// The sandboxes that were stopped and need not be again.
    stopped: BTreeSet<SandboxId>,
    /// Whether everything was stopped for good.
    brought_down: bool,
    backing_off: Vec<String>,
    /// The records of init containers that were removed for a new sandbox, until the present sync is over.
    forgotten: Option<Box<Forgotten>>,
    /// What was complained of and still holds.
    complaints: Complaints,
    /// Whether the pod waits for a network.
    awaits_network: bool,
    /// How the pod is, once that is another than what its record says, and when to write it.
    unwritten: Option<Box<(Standing, Duration)>>,
    told: Option<report::Told>,
    /// The addresses that the status shows.
    shown_ips: Vec<IpAddr>,
    ready: Option<bool>,
    /// Why the node does not admit the pod, once that has turned out.
    refused: Option<Box<Failure>>,
    /// Whether the node has taken the pod.
    admitted: bool,
    /// Whether dead containers that are only kept to tell of them go, too.
    spare: Spare,
}

impl Worker {
    fn new(
        context: Arc<PodContext>,
        record: PodRecord,
        listed: Option<Listed>,
        orders: watch::Receiver<Orders>,
        inbox: Arc<Inbox>,
    ) -> Self {
        let probe_news = Arc::new(Notify::new());
        let told = Recorder { context: Arc::clone(&context), pod: Arc::clone(&record.pod) };
        let probes = ProbeSet::new(
            context.cri.clone(),
            Arc::clone(&probe_news),
            Arc::new(told),
            context.agent_started,
        );
        let containers = container::by_name(&record.pod);
        let hashes = containers.into_values().map(|container| {
            let image = container.image.as_deref().unwrap_or_default();
            (container.name.clone(), container_hash(&container.name, image))
        });
        let mut objects = context.objects.clone();
        // A pod that is made now is made from the store as it is; one that was there before may have missed something.
        if listed.as_ref().is_some_and(Listed::is_empty) {
            objects.mark_unchanged();
        } else {
            objects.mark_changed();
        }
        Self {
            hashes: hashes.collect(),
            qos_class: QosClass::of(&record.pod).unwrap_or(QosClass::BestEffort),
            full_name: events::full_name(&record.pod),
            orders,
            inbox,
            objects,
            probes,
            probe_news,
            listed,
            observed: Observed::default(),
            vanished: BTreeMap::new(),
            running_since: BTreeMap::new(),
            unsure: Unsure::everything(),
            unfinished: Unfinished::default(),
            memory: Memory::new(context.clock, context.restarts),
            looked_at: LookedAt::default(),
            pulls: BTreeMap::new(),
            pulling: None,
            mounts: None,
            stopped: BTreeSet::new(),
            brought_down: false,
            backing_off: Vec::new(),
            forgotten: None,
            complaints: Complaints::default(),
            awaits_network: false,
            unwritten: None,
            told: None,
            shown_ips: Vec::new(),
            ready: None,
            refused: None,
            admitted: false,
            spare: Spare::Kept,
            record,
            context,
        }
    }

    async fn run(mut self: Box<Self>) {
        let shutdown = self.context.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => self.note_standing_now(),
            () = self.live() => {}
        }
    }

    /// Runs the pod until it fails or is told to stop, then ends it.
    async fn live(&mut self) {
        let mut orders = self.orders.clone();
        while self.is_to_run() {
            let told = tokio::select! {
                biased;
                told = told_to_end(&mut orders) => Some(told),
                () = self.sync_and_wait() => None,
            };
            // A pull may have been broken off.
            self.pulling = None;
            match told {
                Some(Orders::Fail(failure)) => self.note_failure(*failure),
                Some(Orders::Stop { .. }) => break,
                // The agent is gone without a word; so are we.
                Some(Orders::Run) => return,
                None => {
                    if let Some(refused) = self.refused.take() {
                        self.note_failure(*refused);
                    }
                }
            }
        }
        if self.record.ending.is_none() && self.record.failure.is_some() {
            let told = Box::pin(self.stay_failed(&mut orders)).await;
            if !told {
                return;
            }
        }
        Box::pin(self.end(orders)).await;
    }

    /// Brings the pod to where it should be, then waits until something happens.
    async fn sync_and_wait(&mut self) {
        self.context.metrics.count_worker_sync();
        let mut wake_after = self.sync().await;
        self.spare = Spare::Kept;
        if let Some(forgotten) = self.forgotten.take() {
            self.memory.forget_instances(&forgotten.first_ended);
            // What they had to wait for may be over with that.
            wake_after = Some(Duration::ZERO);
        }
        if self.refused.is_some() {
            return;
        }
        self.report();
        let wake_after = earliest(wake_after, self.note_standing());
        self.wait(wake_after).await;
    }

    /// Looks, plans and acts until there is nothing left to do; says when to look again if nothing happens before.
    async fn sync(&mut self) -> Option<Duration> {
        // Each container takes two rounds at most, and so does the sandbox. What takes more runs in circles: a runtime that forgets
        // what it was told, or tells what isn't so.
        let rounds = 8 + 4 * self.hashes.len();
        for _ in 0..rounds {
            if let Err(retry) = Box::pin(self.look()).await {
                return Some(retry);
            }
            self.memory.note(&self.observed);
            Box::pin(self.end_left_tasks()).await;
            self.sync_probes();
            let plan = self.plan();
            self.tell_back_offs(&plan.backing_off);
            self.backing_off = plan.backing_off;
            let wake_after = earliest(plan.wake_after, self.unsure.look_again_after());
            if plan.actions.is_empty() {
                return wake_after;
            }
            self.report();
            let only_removals = plan.actions.iter().all(Action::is_removal);
            for action in plan.actions {
                // What the runtime doesn't let go of holds up nothing else.
                let may_fail = action.is_removal() && !only_removals;
                if let Err(Abandoned { again_in }) = Box::pin(self.act(action)).await
                    && !may_fail
                {
                    return earliest(wake_after, Some(again_in));
                }
            }
        }
        warn!(rounds, "the pod does not come to rest; it is left alone for a while");
        self.unsure = Unsure::everything();
        Some(Abandoned::LATER.again_in)
    }

    fn plan(&self) -> plan::Plan {
        let probes = self.probes.results();
        plan::plan(plan::Inputs {
            pod: &self.record.pod,
            hashes: &self.hashes,
            observed: &self.observed,
            probes: &self.verdicts(&probes),
            memory: &self.memory,
            spare: self.spare,
        })
    }

    /// Carries out one action. An error ends the round: what was planned after it no longer holds.
    async fn act(&mut self, action: Action) -> Result<(), Abandoned> {
        match action {
            Action::KillPod => self.kill_for_new_sandbox().await,
            Action::RemoveInitRecords(ids) => {
                // Until there can be another sandbox, they tell what became of the pod.
                self.wait_for_network().await?;
                self.forget_init_containers(&ids).await;
                Ok(())
            }
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
            () = self.inbox.heard() => {}
            () = self.probe_news.notified() => {}
            Ok(()) = self.objects.changed() => self.take_objects(),
            () = self.context.network.changed(), if self.awaits_network => {}
            () = back_off => {}
        }
        self.awaits_network = false;
        self.take_inbox();
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

fn earliest(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// Waits for the order to end in whatever way. `Run` when there is nobody left to give one.
async fn told_to_end(orders: &mut watch::Receiver<Orders>) -> Orders {
    orders.wait_for(|orders| *orders != Orders::Run).await.map_or(Orders::Run, |orders| orders.clone())
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
