//! The machine and the pods that [`Control`](crate::eviction::control::Control) looks after: whom it asks, and whom it tells.

mod measuring;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

pub(super) use self::measuring::FileSystems;
use crate::board::{EventDraft, EventKind, reference_to};
use crate::eviction::Signal;
use crate::eviction::assessment::Observations;
use crate::eviction::control::{Disks, Surroundings};
use crate::eviction::local_storage::{Layout, Limited};
use crate::eviction::measure::Meter;
use crate::eviction::signal::Resource;
use crate::eviction::stall::Stalls;
use crate::eviction::usage::PodUse;
use crate::node::{Pressure, PressureKind};
use crate::pod::context::PodContext;
use crate::pod::failure::Failure;
use crate::pod::identity::PodUid;
use crate::pod::status::has_ended;

/// How long the images may take to be removed, the wait for whoever removes them included.
const IMAGES_PATIENCE: Duration = Duration::from_secs(60);
/// How long a pod with limits has from its start until it is first looked at.
const SETTLE: Duration = Duration::from_secs(10);
/// How often to look whether an evicted pod has gone.
const IS_GONE_EVERY: Duration = Duration::from_secs(1);

/// What a node that runs short wants of its pods.
#[derive(Debug)]
pub(super) enum Demand {
    /// This one has to go.
    Fail {
        /// Which pod.
        uid: PodUid,
        /// Why.
        failure: Failure,
    },
    /// All are to remove their dead containers, as far as nobody needs them.
    DropDead,
}

/// Asks for all images to be removed that nobody needs. Dropped when that is done.
pub(super) type ImagesAsked = oneshot::Sender<()>;

/// This machine, and the agent's ways to its pods.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) context: Arc<PodContext>,
    pub(super) meter: Meter,
    pub(super) file_systems: FileSystems,
    pub(super) stalls: Stalls,
    pub(super) limited: Arc<Notify>,
    pub(super) demands: mpsc::UnboundedSender<Demand>,
    pub(super) images: mpsc::Sender<ImagesAsked>,
    pub(super) pressure: watch::Sender<Pressure>,
}

impl Machine {
    fn event<T>(
        &self,
        regarding: &T,
        (kind, reason): (EventKind, &str),
        message: String,
        annotations: BTreeMap<String, String>,
    ) where
        T: k8s_openapi::Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>,
    {
        let draft = EventDraft {
            regarding: reference_to(regarding),
            kind,
            reason: reason.to_owned(),
            message,
            component: "kubelet",
            at: self.context.clock.wall(),
        };
        self.context.board.record_annotated(draft, annotations);
    }

    fn node_event(&self, kind: EventKind, reason: &str, message: String) {
        if let Some(node) = self.context.board.node() {
            self.event(&*node, (kind, reason), message, BTreeMap::new());
        }
    }

    fn has_ended(&self, pod: &Pod) -> bool {
        let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
        let shown = self.context.board.pod(namespace.unwrap_or_default(), name.unwrap_or_default());
        shown.is_none_or(|pod| has_ended(&pod))
    }

    fn is_over(&self, pod: &Pod) -> bool {
        let dir = self.context.volumes.pod_dir(uid_of(pod));
        self.has_ended(pod) && !dir.is_ok_and(|dir| dir.exists())
    }
}

impl Surroundings for Machine {
    fn now(&self) -> Duration {
        self.context.clock.monotonic()
    }

    async fn observe(&mut self) -> Observations {
        self.find_file_systems().await;
        let mut found = self.meter.observe();
        let meter = self.meter.clone();
        found.extend(self.file_systems.observe(move || (meter.disks(), meter.layout())).await);
        found
    }

    fn layout(&self) -> Layout {
        self.file_systems.layout()
    }

    fn pods(&self) -> Vec<Arc<Pod>> {
        self.context.board.pods().into_iter().filter(|pod| !has_ended(pod)).collect()
    }

    async fn measure(&mut self, resource: Resource, pods: &[Arc<Pod>]) -> Option<Vec<PodUse>> {
        self.uses(resource, pods).await
    }

    fn walk(&self, pods: Vec<Arc<Pod>>, wanted: Limited) -> BoxFuture<'static, Option<Disks>> {
        Box::pin(measuring::walk(Arc::clone(&self.context), pods, wanted))
    }

    async fn reclaim(&mut self, signal: Signal) {
        let layout = self.layout();
        if layout.dead_containers_free(signal) {
            // A main loop that no longer listens is going down.
            let _ = self.demands.send(Demand::DropDead);
        }
        if layout.images_free(signal) {
            let (asked, done) = oneshot::channel();
            let removed = async {
                if self.images.send(asked).await.is_ok() {
                    let _ = done.await;
                }
            };
            if timeout(IMAGES_PATIENCE, removed).await.is_err() {
                warn!("removing images takes long");
            }
        }
    }

    fn show(&mut self, present: &BTreeSet<PressureKind>) {
        let now = self.context.clock.wall_seconds();
        let mut changed = Vec::new();
        self.pressure.send_if_modified(|pressure| {
            changed = pressure.become_of(present, now);
            !changed.is_empty()
        });
        let node = self.context.host().node_name.clone();
        for (kind, is_present) in changed {
            let reason = kind.event(is_present);
            info!(condition = kind.condition(), is_present, "the node's pressure has changed");
            self.node_event(EventKind::Normal, reason, format!("Node {node} status is now: {reason}"));
        }
    }

    fn tell_of_threshold(&mut self, resource: Resource) {
        let message = format!("Attempting to reclaim {}", resource.as_str());
        self.node_event(EventKind::Warning, "EvictionThresholdMet", message);
    }

    fn evict(
        &mut self,
        pod: &Pod,
        signal: &'static str,
        failure: Failure,
        annotations: BTreeMap<String, String>,
    ) {
        self.context.metrics.count_eviction(signal);
        let told = (EventKind::Warning, failure.reason.as_str());
        self.event(pod, told, failure.message.clone(), annotations);
        if let Some(uid) = PodUid::parse(uid_of(pod)) {
            let _ = self.demands.send(Demand::Fail { uid, failure });
        }
    }

    async fn ended(&mut self, pod: &Pod) {
        while !self.has_ended(pod) {
            sleep(IS_GONE_EVERY).await;
        }
    }

    fn tell_of_delay(&mut self, pod: &Pod) {
        let message = "Container runtime did not kill the pod within specified grace period.".to_owned();
        self.event(pod, (EventKind::Warning, "ExceededGracePeriod"), message, BTreeMap::new());
    }

    async fn cleaned_up(&mut self, pod: &Pod) {
        while !self.is_over(pod) {
            sleep(IS_GONE_EVERY).await;
        }
    }

    async fn woken(&mut self) {
        let begun = async {
            self.limited.notified().await;
            sleep(SETTLE).await;
        };
        tokio::select! {
            () = self.stalls.next() => {}
            () = begun => {}
        }
    }
}

fn uid_of(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}
