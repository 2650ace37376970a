//! The loop: look, say what the node is short of, free what nobody needs, and only then sacrifice a pod, one at a time.
//!
//! How often it looks follows from what it sees ([`assessment`](super::assessment)): every ten seconds, like a kubelet, while the node is
//! near one of its thresholds or beyond; once a minute otherwise, a look being a handful of files of `/proc` and two `statvfs`. Disks fill
//! over minutes; memory does not, so the kernel wakes the loop when tasks begin to wait for it ([`stall`](super::stall)), and nothing that
//! takes long may hold it up: what pods have on disk is found out beside the loop. It is only walked when the disk is short, or when a pod
//! has a limit; the longer a walk takes, the rarer it is, so that it never costs more than one part in five thousand.
//!
//! What can't be found out evicts nobody: a runtime that doesn't answer could not end a pod either.
//!
//! Rule: `synchronize` of `pkg/kubelet/eviction/eviction_manager.go`.

mod limits;
mod surroundings;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use self::limits::Limits;
pub use self::surroundings::Surroundings;
pub use self::walk::Disks;
use self::walk::Walk;
use super::EvictionPolicy;
use super::assessment::{Assessment, Assessor, Observations};
use super::local_storage::Limited;
use super::message::{self, Why};
use super::policy::Threshold;
use super::rank::{self, Candidate};
use super::signal::Resource;
use super::usage::{PodUse, requested};
use crate::pod::failure::{Failure, FailureReason, Fault};
use crate::pod::grace;

/// How long a pod that is sacrificed at once is given (`immediateEvictionGracePeriodSeconds`).
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a pod that ends is waited for at least, however little time it was given (`killPodNow` of `pkg/kubelet/pod_workers.go`).
const KILLED_WITHIN: Duration = Duration::from_secs(10);
/// How long what ended pods leave is waited for before another pod goes (`podCleanupTimeout`).
const CLEAN_UP: Duration = Duration::from_secs(30);
/// File systems give back the room of what was removed a little later.
const FREED_AFTER: Duration = Duration::from_secs(1);

/// The loop's state.
#[derive(Debug)]
pub struct Control<S> {
    surroundings: S,
    assessor: Assessor,
    /// The UIDs of the pods that were told to go, and how long each was given. One that takes its time must not keep others from going.
    told: BTreeMap<String, Duration>,
    /// Over what the pods with limits have written.
    of_limited: Walk,
    /// When to look at the pods' limits again.
    limits_due: Duration,
    /// Over what every pod has written, while the disk is short; and what was measured before anything was taken back.
    of_all: (Walk, Observations),
}

impl<S: Surroundings> Control<S> {
    /// A loop that has not looked yet.
    pub fn new(policy: EvictionPolicy, surroundings: S) -> Self {
        Self {
            surroundings,
            assessor: Assessor::new(policy),
            told: BTreeMap::new(),
            of_limited: Walk::None,
            limits_due: Duration::ZERO,
            of_all: (Walk::None, Observations::new()),
        }
    }

    /// Looks after the node for ever.
    pub async fn run(mut self) {
        loop {
            let pause = self.look().await;
            tokio::select! {
                () = sleep(pause) => {}
                () = self.surroundings.woken() => {}
                () = self.of_limited.ended() => {}
                () = self.of_all.0.ended() => {}
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
        self.told.retain(|told, _| pods.iter().any(|pod| uid(pod) == told));

        let pause = match self.look_at_limits(&pods).await {
            // What they had counts in what was measured: others may not have to go.
            Limits::Evicted => return Duration::ZERO,
            Limits::Kept(None) => found.look_again,
            Limits::Kept(Some(due)) => due.min(found.look_again),
        };
        if !found.starved.iter().any(is_on_disk) {
            // Nobody wants to know any more.
            self.of_all.0.take();
        }
        let evicted = match found.starved.first() {
            Some(threshold) if is_on_disk(threshold) => self.make_room(&found, observed, &pods).await,
            Some(threshold) => self.relieve(threshold, &found.starved, &observed, &pods).await,
            None => false,
        };
        // The next look shows whether that was enough.
        if evicted { Duration::ZERO } else { pause }
    }

    /// Sacrifices a pod for memory or processes. Whether one was.
    async fn relieve(
        &mut self,
        threshold: &Threshold,
        starved: &[Threshold],
        observed: &Observations,
        pods: &[Arc<Pod>],
    ) -> bool {
        self.tell_of(threshold);
        let Some(uses) = self.surroundings.measure(threshold.signal.resource(), pods).await else {
            tell_of_ignorance(threshold);
            return false;
        };
        self.sacrifice(threshold, starved, observed, pods.iter().zip(uses).collect()).await
    }

    /// Frees what nobody needs of the disk, then has it found out who uses most, and sacrifices a pod once that is known. Whether one was.
    async fn make_room(&mut self, found: &Assessment, observed: Observations, pods: &[Arc<Pod>]) -> bool {
        let Some(threshold) = found.starved.first() else { return false };
        if let Some(walked) = self.of_all.0.take() {
            let observed = std::mem::take(&mut self.of_all.1);
            let Some(disks) = walked.found else {
                tell_of_ignorance(threshold);
                return false;
            };
            let layout = self.surroundings.layout();
            // One that came meanwhile is not known, which must not make it the first to go.
            let uses = pods.iter().filter_map(|pod| {
                let disk = disks.get(uid(pod))?;
                Some((pod, PodUse::of_disk(pod, disk, threshold.signal, layout)))
            });
            return self.sacrifice(threshold, &found.starved, &observed, uses.collect()).await;
        }
        if self.of_all.0.is_begun() {
            return false;
        }
        self.tell_of(threshold);
        if self.reclaimed(threshold).await.is_some_and(|after| !self.assessor.is_starved_by(&after)) {
            info!("what nobody needed was enough; no pod has to go");
            return false;
        }
        let everything = Limited { volumes: true, containers: true };
        self.of_all = (Walk::begin(self.surroundings.walk(pods.to_vec(), everything)), observed);
        false
    }

    fn tell_of(&mut self, threshold: &Threshold) {
        let resource = threshold.signal.resource();
        warn!(
            signal = threshold.signal.as_str(),
            "the node runs short; trying to take back {}",
            resource.as_str()
        );
        self.surroundings.tell_of_threshold(resource);
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

    /// Ends the pod that goes first, if any may. Whether one did.
    async fn sacrifice(
        &mut self,
        threshold: &Threshold,
        starved: &[Threshold],
        observed: &Observations,
        pods: Vec<(&Arc<Pod>, PodUse)>,
    ) -> bool {
        let signal = threshold.signal;
        let grace = if threshold.is_hard() { AT_ONCE } else { self.assessor.policy().max_pod_grace };
        let candidates =
            pods.into_iter().filter(|(pod, _)| self.may_go(pod, grace)).map(|(pod, found)| Candidate {
                priority: rank::priority(pod),
                used: found.used,
                requested: requested(pod, signal.resource()),
                pod: (Arc::clone(pod), found.containers),
            });
        let ranked = rank::rank(signal.resource(), candidates.collect());
        let Some(Candidate { pod: (pod, containers), .. }) = ranked.into_iter().next() else {
            warn!(signal = signal.as_str(), "the node runs short, and no pod may be sacrificed");
            return false;
        };
        let why = message::of_pressure(threshold, starved, observed, &containers);
        self.evict(&pod, signal.as_str(), why, (grace, Fault::Node)).await;
        self.wait_for_clean_up(&[pod]).await;
        true
    }

    /// Whether a pod was not told to go yet, or was given more time for it.
    fn may_go(&self, pod: &Pod, grace: Duration) -> bool {
        self.told.get(uid(pod)).is_none_or(|given| grace < *given)
    }

    /// Has a pod ended, and waits until it has or its time is over.
    async fn evict(&mut self, pod: &Pod, signal: &'static str, why: Why, (given, fault): (Duration, Fault)) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let Why { message, annotations } = why;
        warn!(pod = name, signal, why = message, "the pod is evicted");
        self.told.insert(uid(pod).to_owned(), given);
        let failure = Failure { reason: FailureReason::Evicted, message, grace: Some(given), fault };
        self.surroundings.evict(pod, signal, failure, annotations);
        let patience = patience(grace::of_pod(pod, Some(given)));
        if timeout(patience, self.surroundings.ended(pod)).await.is_err() {
            warn!(pod = name, ?patience, "the evicted pod has not ended in its time");
            self.surroundings.tell_of_delay(pod);
        }
    }

    async fn wait_for_clean_up(&mut self, pods: &[Arc<Pod>]) {
        let all = async {
            for pod in pods {
                self.surroundings.cleaned_up(pod).await;
            }
        };
        if timeout(CLEAN_UP, all).await.is_err() {
            warn!("what evicted pods leave takes long to go");
        }
    }
}

/// How long to wait for a pod that was given so long: half as long again, in whole seconds.
fn patience(grace: Duration) -> Duration {
    let seconds = grace.as_secs();
    Duration::from_secs(seconds.saturating_add(seconds / 2)).max(KILLED_WITHIN)
}

fn is_on_disk(threshold: &Threshold) -> bool {
    matches!(threshold.signal.resource(), Resource::EphemeralStorage | Resource::Inodes)
}

fn tell_of_ignorance(threshold: &Threshold) {
    let signal = threshold.signal.as_str();
    warn!(signal, "the node runs short, and what its pods use is not known; none is evicted for now");
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}
