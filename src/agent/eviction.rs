//! The machine and the pods that [`Control`](crate::eviction::control::Control) looks after: where it finds out, and whom it asks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::board::{EventDraft, EventKind, reference_to};
use crate::cri::log_path::LogOwner;
use crate::cri::proto::{ContainerStats, FilesystemUsage};
use crate::cri::translate::QosClass;
use crate::cri::translate::cgroup_parent::CgroupName;
use crate::eviction::Signal;
use crate::eviction::assessment::Observations;
use crate::eviction::control::{PodUse, Surroundings};
use crate::eviction::disk::usage_below;
use crate::eviction::local_storage::{ContainerDisk, Layout, Limited, PodDisk, Space, is_on_disk};
use crate::eviction::measure::Meter;
use crate::eviction::message::ContainerUse;
use crate::eviction::signal::Resource;
use crate::eviction::stall::Stalls;
use crate::manifest::Quantity;
use crate::node::{Pressure, PressureKind};
use crate::pod::MARK;
use crate::pod::context::PodContext;
use crate::pod::failure::Failure;
use crate::pod::identity::PodUid;
use crate::scheduling::is_unscheduled;

/// How long the images may take to be removed.
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
    pub(super) stalls: Stalls,
    pub(super) limited: Arc<Notify>,
    pub(super) demands: mpsc::UnboundedSender<Demand>,
    pub(super) images: mpsc::Sender<ImagesAsked>,
    pub(super) pressure: watch::Sender<Pressure>,
}

impl Machine {
    /// Asks the runtime where its images lie, once it tells.
    async fn find_file_systems(&mut self) {
        if self.meter.image_dir.is_some() {
            return;
        }
        match self.context.cri.image_fs_info().await {
            Ok(info) => {
                let first = |systems: Vec<FilesystemUsage>| {
                    Some(PathBuf::from(systems.into_iter().next()?.fs_id?.mountpoint))
                };
                self.meter.image_dir = first(info.image_filesystems);
                self.meter.layer_dir = first(info.container_filesystems);
            }
            Err(error) => warn!(%error, "cannot ask where the images lie"),
        }
    }

    fn cgroup_of(&self, pod: &Pod) -> String {
        let host = self.context.host();
        let class = QosClass::of(pod).unwrap_or(QosClass::BestEffort);
        CgroupName::of_pod(&host.cgroups, class, uid_of(pod)).path(host.cgroups.driver)
    }

    /// What the runtime says of running containers, by pod and container.
    async fn stats(&self) -> BTreeMap<(String, String), ContainerStats> {
        let mark = BTreeMap::from([(MARK.to_owned(), self.context.host().node_name.clone())]);
        let stats = self.context.cri.list_container_stats(&mark).await;
        let stats = stats.inspect_err(|error| warn!(%error, "cannot ask what containers use"));
        let named = stats.unwrap_or_default().into_iter().filter_map(|stats| {
            let labels = &stats.attributes.as_ref()?.labels;
            let label = |key: &str| labels.get(key).cloned();
            let key = (label("io.kubernetes.pod.uid")?, label("io.kubernetes.container.name")?);
            Some((key, stats))
        });
        named.collect()
    }

    fn event<T>(&self, regarding: &T, kind: EventKind, reason: &str, message: String)
    where
        T: k8s_openapi::Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>,
    {
        self.context.board.record(EventDraft {
            regarding: reference_to(regarding),
            kind,
            reason: reason.to_owned(),
            message,
            component: "kubelet",
            at: self.context.clock.wall(),
        });
    }

    fn node_event(&self, kind: EventKind, reason: &str, message: String) {
        if let Some(node) = self.context.board.node() {
            self.event(&*node, kind, reason, message);
        }
    }

    fn is_over(&self, pod: &Pod) -> bool {
        let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
        let shown = self.context.board.pod(namespace.unwrap_or_default(), name.unwrap_or_default());
        let dir = self.context.volumes.pod_dir(uid_of(pod));
        shown.is_none_or(|pod| has_ended(&pod)) && !dir.is_ok_and(|dir| dir.exists())
    }
}

impl Surroundings for Machine {
    fn now(&self) -> Duration {
        self.context.clock.monotonic()
    }

    async fn observe(&mut self) -> Observations {
        self.find_file_systems().await;
        self.meter.observe()
    }

    fn layout(&self) -> Layout {
        self.meter.layout()
    }

    fn pods(&self) -> Vec<Arc<Pod>> {
        self.context.board.pods().into_iter().filter(|pod| !has_ended(pod)).collect()
    }

    async fn measure(&mut self, signal: Signal, pods: &[Arc<Pod>]) -> Vec<PodUse> {
        let resource = signal.resource();
        match resource {
            Resource::Pids => {
                let used = |pod: &Arc<Pod>| self.meter.processes(&self.cgroup_of(pod));
                pods.iter().map(|pod| PodUse { used: used(pod), containers: Vec::new() }).collect()
            }
            Resource::Memory => {
                let stats = self.stats().await;
                let used = |pod: &Arc<Pod>| self.meter.working_set(&self.cgroup_of(pod));
                let of_container = |stats: &ContainerStats| {
                    stats.memory.as_ref()?.working_set_bytes.as_ref().map(|bytes| bytes.value)
                };
                let of_pod = |pod: &Arc<Pod>| PodUse {
                    used: used(pod),
                    containers: container_uses(pod, resource, |name| {
                        stats.get(&(uid_of(pod).to_owned(), name.to_owned())).and_then(of_container)
                    }),
                };
                pods.iter().map(of_pod).collect()
            }
            Resource::EphemeralStorage | Resource::Inodes => {
                let disks = self.walk(pods, Limited { volumes: true, containers: true }).await;
                let layout = self.layout();
                let of_pod = |pod: &Arc<Pod>| {
                    let Some(disk) = disks.get(uid_of(pod)) else { return PodUse::default() };
                    let space = disk.beneath(signal, layout);
                    let used = if resource == Resource::Inodes { space.inodes } else { space.bytes };
                    let containers = container_uses(pod, resource, |name| {
                        disk.containers.get(name).map(|it| it.root.bytes + it.logs.bytes)
                    });
                    PodUse { used: Some(used), containers }
                };
                pods.iter().map(of_pod).collect()
            }
        }
    }

    async fn walk(&mut self, pods: &[Arc<Pod>], wanted: Limited) -> BTreeMap<String, PodDisk> {
        let stats = if wanted.containers { self.stats().await } else { BTreeMap::new() };
        let (context, pods) = (Arc::clone(&self.context), pods.to_vec());
        let logs_root = context.host().pod_logs_dir.clone();
        let walked = tokio::task::spawn_blocking(move || {
            let walk = |pod: &Arc<Pod>| {
                let mut disk = PodDisk { volumes: volumes(&context, pod), ..PodDisk::default() };
                if wanted.containers {
                    disk.containers = containers(pod, &logs_root, &stats);
                }
                (uid_of(pod).to_owned(), disk)
            };
            pods.iter().map(walk).collect()
        });
        walked.await.unwrap_or_default()
    }

    async fn reclaim(&mut self, signal: Signal) {
        let layout = self.layout();
        if layout.dead_containers_free(signal) {
            // A main loop that no longer listens is going down.
            let _ = self.demands.send(Demand::DropDead);
        }
        if layout.images_free(signal) {
            let (asked, done) = oneshot::channel();
            if self.images.send(asked).await.is_ok() && timeout(IMAGES_PATIENCE, done).await.is_err() {
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

    fn evict(&mut self, pod: &Pod, signal: &'static str, failure: Failure) {
        self.context.metrics.count_eviction(signal);
        self.event(pod, EventKind::Warning, failure.reason.as_str(), failure.message.clone());
        if let Some(uid) = PodUid::parse(uid_of(pod)) {
            let _ = self.demands.send(Demand::Fail { uid, failure });
        }
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

/// Whether nothing of the pod runs, or ever has.
fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded")) || is_unscheduled(pod)
}

/// What each container uses, as far as it is known, beside what it requests.
fn container_uses(pod: &Pod, resource: Resource, used: impl Fn(&str) -> Option<u64>) -> Vec<ContainerUse> {
    let spec = pod.spec.iter();
    let all = spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let of = |container: &k8s_openapi::api::core::v1::Container| {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let written = requests.and_then(|requests| requests.get(resource.as_str()));
        let value = written.and_then(|written| written.0.parse::<Quantity>().ok()).map(Quantity::value);
        let value = value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        let written = written.map_or_else(|| "0".to_owned(), |written| written.0.clone());
        Some(ContainerUse {
            used: used(&container.name)?,
            name: container.name.clone(),
            requested: (value, written),
        })
    };
    all.filter_map(of).collect()
}

fn volumes(context: &PodContext, pod: &Pod) -> BTreeMap<String, Space> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let on_disk = volumes.filter(|volume| is_on_disk(volume));
    let walked = on_disk.filter_map(|volume| {
        let dir = context.volumes.empty_dir(uid_of(pod), &volume.name).ok()?;
        Some((volume.name.clone(), usage_below(&dir)))
    });
    walked.collect()
}

fn containers(
    pod: &Pod,
    logs_root: &Path,
    stats: &BTreeMap<(String, String), ContainerStats>,
) -> BTreeMap<String, ContainerDisk> {
    let metadata = &pod.metadata;
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let owner = LogOwner {
        namespace: namespace.unwrap_or_default(),
        pod: name.unwrap_or_default(),
        uid: uid_of(pod),
    };
    let logs = owner.directory(logs_root);
    let spec = pod.spec.iter();
    let all = spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let walked = all.map(|container| {
        let found = stats.get(&(uid_of(pod).to_owned(), container.name.clone()));
        let layer = found.and_then(|stats| stats.writable_layer.as_ref());
        let value = |value: Option<&crate::cri::proto::UInt64Value>| value.map_or(0, |value| value.value);
        let root = Space {
            bytes: value(layer.and_then(|layer| layer.used_bytes.as_ref())),
            inodes: value(layer.and_then(|layer| layer.inodes_used.as_ref())),
        };
        (container.name.clone(), ContainerDisk { root, logs: usage_below(&logs.join(&container.name)) })
    });
    walked.collect()
}
