//! The loop: look, say what the node is short of, free what nobody needs, and only then sacrifice a pod, one at a time.
//!
//! How often it looks follows from what it sees ([`assessment`](super::assessment)): every ten seconds, like a kubelet, while the node is
//! near one of its thresholds or beyond; once a minute otherwise, a look being a handful of files of `/proc` and two `statvfs`. Disks fill
//! over minutes; memory does not, so the kernel wakes the loop when tasks begin to wait for it ([`stall`](super::stall)). What pods have on
//! disk is only walked when the disk is short, or when a pod has a limit; the longer a walk takes, the rarer it is, so that it never costs
//! more than one part in five thousand.
//!
//! Rule: `synchronize` of `pkg/kubelet/eviction/eviction_manager.go`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::assessment::{Assessor, Observations};
use super::local_storage::{self, Layout, Limited, PodDisk};
use super::message::{self, ContainerUse};
use super::policy::Threshold;
use super::rank::{self, Candidate};
use super::signal::Resource;
use super::{EvictionPolicy, Signal};
use crate::cri::translate::pod_resources::{Overhead, pod_requests};
use crate::node::PressureKind;
use crate::pod::failure::{Failure, FailureReason, Fault};

/// How long a pod that is sacrificed at once is given (`immediateEvictionGracePeriodSeconds`).
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a pod that was sacrificed is waited for before another is (`podCleanupTimeout`).
const CLEAN_UP: Duration = Duration::from_secs(30);
/// File systems give back the room of what was removed a little later.
const FREED_AFTER: Duration = Duration::from_secs(1);
/// A walk over what pods have written is paused for this many times as long as it took…
const REST_PER_WALK: u32 = 5_000;
/// …but no longer than this.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// What a pod uses of what is short.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodUse {
    /// All of it; `None` if it could not be measured.
    pub used: Option<u64>,
    /// By container, where that is known.
    pub containers: Vec<ContainerUse>,
}

/// All that the loop has to do with: a machine and its pods, or a test's.
pub trait Surroundings {
    /// The monotonic clock.
    fn now(&self) -> Duration;
    /// Measures every signal that can be.
    fn observe(&mut self) -> impl Future<Output = Observations> + Send;
    /// On which file systems things lie.
    fn layout(&self) -> Layout;
    /// The pods that are not over yet.
    fn pods(&self) -> Vec<Arc<Pod>>;
    /// Measures what these pods use of what a signal is about, in their order.
    fn measure(&mut self, signal: Signal, pods: &[Arc<Pod>]) -> impl Future<Output = Vec<PodUse>> + Send;
    /// Measures what these pods have on disk, by UID, as far as it must be known.
    fn walk(
        &mut self,
        pods: &[Arc<Pod>],
        wanted: Limited,
    ) -> impl Future<Output = BTreeMap<String, PodDisk>> + Send;
    /// Frees what no pod needs.
    fn reclaim(&mut self, signal: Signal) -> impl Future<Output = ()> + Send;
    /// Says which conditions the node has.
    fn show(&mut self, pressure: &BTreeSet<PressureKind>);
    /// Says that something has to be taken back.
    fn tell_of_threshold(&mut self, resource: Resource);
    /// Has a pod ended. `signal` is what it is counted under.
    fn evict(&mut self, pod: &Pod, signal: &'static str, failure: Failure);
    /// Waits until nothing of the pod is left but its status.
    fn cleaned_up(&mut self, pod: &Pod) -> impl Future<Output = ()> + Send;
    /// Waits for a reason to look sooner than planned.
    fn woken(&mut self) -> impl Future<Output = ()> + Send;
}

/// The loop's state.
#[derive(Debug)]
pub struct Control<S> {
    surroundings: S,
    assessor: Assessor,
    /// The UIDs of the pods that were told to go. One that takes its time must not keep others from going.
    told: BTreeSet<String>,
    /// When to look at the pods' limits again.
    limits_due: Duration,
}

impl<S: Surroundings> Control<S> {
    /// A loop that has not looked yet.
    pub fn new(policy: EvictionPolicy, surroundings: S) -> Self {
        Self {
            surroundings,
            assessor: Assessor::new(policy),
            told: BTreeSet::new(),
            limits_due: Duration::ZERO,
        }
    }

    /// Looks after the node for ever.
    pub async fn run(mut self) {
        loop {
            let pause = self.look().await;
            tokio::select! {
                () = sleep(pause) => {}
                () = self.surroundings.woken() => {}
            }
        }
    }

    /// One look; says when the next is due.
    async fn look(&mut self) -> Duration {
        let observed = self.surroundings.observe().await;
        let now = self.surroundings.now();
        let found = self.assessor.assess(&observed, now);
        self.surroundings.show(&found.pressure);
        let pods = self.surroundings.pods();
        let there = |uid: &String| pods.iter().any(|pod| pod.metadata.uid.as_ref() == Some(uid));
        self.told.retain(there);

        if let Some(due) = self.look_at_limits(&pods).await {
            let pause = due.saturating_sub(self.surroundings.now());
            if found.starved.is_empty() {
                return pause.min(found.look_again);
            }
        }
        let Some(threshold) = found.starved.first().copied() else { return found.look_again };
        let resource = threshold.signal.resource();
        warn!(
            signal = threshold.signal.as_str(),
            "the node runs short; trying to take back {}",
            resource.as_str()
        );
        self.surroundings.tell_of_threshold(resource);
        let observed = match self.reclaimed(&threshold).await {
            Some(after) if !self.assessor.is_starved_by(&after) => {
                info!("what nobody needed was enough; no pod has to go");
                return found.look_again;
            }
            Some(after) => after,
            None => observed,
        };
        match self.sacrifice(&threshold, &found.starved, &observed, &pods).await {
            // The next look shows whether that was enough.
            Some(()) => Duration::ZERO,
            None => found.look_again,
        }
    }

    /// Frees what nobody needs, where that can help, and measures again.
    async fn reclaimed(&mut self, threshold: &Threshold) -> Option<Observations> {
        let (layout, signal) = (self.surroundings.layout(), threshold.signal);
        if !layout.images_free(signal) && !layout.dead_containers_free(signal) {
            return None;
        }
        self.surroundings.reclaim(signal).await;
        sleep(FREED_AFTER).await;
        Some(self.surroundings.observe().await)
    }

    /// Ends the pod that goes first, if any may.
    async fn sacrifice(
        &mut self,
        threshold: &Threshold,
        starved: &[Threshold],
        observed: &Observations,
        pods: &[Arc<Pod>],
    ) -> Option<()> {
        let signal = threshold.signal;
        let uses = self.surroundings.measure(signal, pods).await;
        let candidates =
            pods.iter().zip(uses).filter(|(pod, _)| !self.told.contains(uid(pod))).map(|(pod, found)| {
                Candidate {
                    priority: rank::priority(pod),
                    used: found.used,
                    requested: requested(pod, signal.resource()),
                    pod: (Arc::clone(pod), found.containers),
                }
            });
        let ranked = rank::rank(signal.resource(), candidates.collect());
        let Some(Candidate { pod: (pod, containers), .. }) = ranked.into_iter().next() else {
            warn!(signal = signal.as_str(), "the node runs short, and no pod may be sacrificed");
            return None;
        };
        let message = message::of_pressure(threshold, starved, observed, &containers);
        let grace = if threshold.is_hard() { AT_ONCE } else { self.assessor.policy().max_pod_grace };
        let (reason, fault) = (FailureReason::Evicted, Fault::Node);
        self.evict(&pod, signal.as_str(), Failure { reason, message, grace: Some(grace), fault }).await;
        Some(())
    }

    /// Ends pods that have written more than their limits allow. Says when to look again, if any pod has limits.
    async fn look_at_limits(&mut self, pods: &[Arc<Pod>]) -> Option<Duration> {
        let limited: Vec<Arc<Pod>> =
            pods.iter().filter(|pod| Limited::of(pod) != Limited::default()).cloned().collect();
        let wanted = limited.iter().map(|pod| Limited::of(pod)).reduce(|one, other| Limited {
            volumes: one.volumes || other.volumes,
            containers: one.containers || other.containers,
        })?;
        let begun = self.surroundings.now();
        if begun < self.limits_due {
            return Some(self.limits_due);
        }
        let disks = self.surroundings.walk(&limited, wanted).await;
        let ended = self.surroundings.now();
        self.limits_due = ended + rest(ended.saturating_sub(begun), wanted);
        let layout = self.surroundings.layout();
        let mut gone = Vec::new();
        for pod in limited {
            let excess = disks.get(uid(&pod)).and_then(|disk| local_storage::excess(&pod, disk, layout));
            let Some(excess) = excess.filter(|_| !rank::is_critical(&pod) && !self.told.contains(uid(&pod)))
            else {
                continue;
            };
            let (reason, fault) = (FailureReason::Evicted, Fault::Own);
            gone.push((
                pod,
                excess.signal,
                Failure { reason, message: excess.message, grace: Some(AT_ONCE), fault },
            ));
        }
        for (pod, signal, failure) in gone {
            self.evict(&pod, signal, failure).await;
        }
        Some(self.limits_due)
    }

    async fn evict(&mut self, pod: &Pod, signal: &'static str, failure: Failure) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        warn!(pod = name, signal, why = failure.message, "the pod is evicted");
        self.told.insert(uid(pod).to_owned());
        self.surroundings.evict(pod, signal, failure);
        if timeout(CLEAN_UP, self.surroundings.cleaned_up(pod)).await.is_err() {
            warn!(pod = name, "the evicted pod takes long to end");
        }
    }
}

/// How long to leave the disk alone after a walk over it. Containers' layers are asked of the runtime, which is not bothered more than
/// once a minute.
fn rest(took: Duration, wanted: Limited) -> Duration {
    let least = Duration::from_secs(if wanted.containers { 60 } else { 10 });
    took.saturating_mul(REST_PER_WALK).clamp(least, LONGEST_REST)
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// What a pod requests of what is short; nobody can request inodes or processes.
fn requested(pod: &Pod, resource: Resource) -> u64 {
    let name = match resource {
        Resource::Memory | Resource::EphemeralStorage => resource.as_str(),
        Resource::Inodes | Resource::Pids => return 0,
    };
    let requests = pod.spec.as_ref().map(|spec| pod_requests(spec, Overhead::Counted));
    requests.map_or(0, |requests| u64::try_from(requests.whole(name)).unwrap_or(0))
}
