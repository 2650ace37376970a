//! What the loop looks after, and through whom it acts. Nothing here decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;

use super::Disks;
use crate::eviction::Signal;
use crate::eviction::assessment::Observations;
use crate::eviction::local_storage::{Layout, Limited};
use crate::eviction::signal::Resource;
use crate::eviction::usage::PodUse;
use crate::node::PressureKind;
use crate::pod::failure::Failure;

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
    /// Measures what these pods use of memory or of processes, in their order; nothing if that can't be found out now.
    fn measure(
        &mut self,
        resource: Resource,
        pods: &[Arc<Pod>],
    ) -> impl Future<Output = Option<Vec<PodUse>>> + Send;
    /// Measures what these pods have on disk, as far as it must be known; nothing if that can't be found out now. May take minutes.
    fn walk(&self, pods: Vec<Arc<Pod>>, wanted: Limited) -> BoxFuture<'static, Option<Disks>>;
    /// Frees what no pod needs.
    fn reclaim(&mut self, signal: Signal) -> impl Future<Output = ()> + Send;
    /// Says which conditions the node has.
    fn show(&mut self, pressure: &BTreeSet<PressureKind>);
    /// Says that something has to be taken back.
    fn tell_of_threshold(&mut self, resource: Resource);
    /// Has a pod ended. `signal` is what it is counted under; the annotations go with the Event.
    fn evict(
        &mut self,
        pod: &Pod,
        signal: &'static str,
        failure: Failure,
        annotations: BTreeMap<String, String>,
    );
    /// Waits until nothing of the pod runs.
    fn ended(&mut self, pod: &Pod) -> impl Future<Output = ()> + Send;
    /// Says that it still does, though its time is over.
    fn tell_of_delay(&mut self, pod: &Pod);
    /// Waits until nothing of the pod is left but its status.
    fn cleaned_up(&mut self, pod: &Pod) -> impl Future<Output = ()> + Send;
    /// Waits for a reason to look sooner than planned.
    fn woken(&mut self) -> impl Future<Output = ()> + Send;
}
