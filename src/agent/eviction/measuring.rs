//! What the node and its pods use, found out where it can't hold up the agent: file systems and trees of files may hang, so they are looked
//! at on threads of their own. Nothing is decided here. What can't be found out is nothing, never zero.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::warn;

use super::{Machine, uid_of};
use crate::cri::log_path::LogOwner;
use crate::cri::proto::{ContainerStats, FilesystemUsage, UInt64Value};
use crate::cri::translate::QosClass;
use crate::cri::translate::cgroup_parent::CgroupName;
use crate::eviction::assessment::Observations;
use crate::eviction::control::Disks;
use crate::eviction::disk::usage_below;
use crate::eviction::local_storage::{ContainerDisk, Layout, Limited, PodDisk, Space, is_on_disk};
use crate::eviction::signal::Resource;
use crate::eviction::usage::{PodUse, container_uses, running};
use crate::pod::MARK;
use crate::pod::context::PodContext;

/// How long a look at the node waits for file systems, and for the runtime to say where its own are.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the runtime says of containers, by their ids.
type Stats = BTreeMap<String, ContainerStats>;

/// How full the node's file systems are, and which they are. One that is away holds up a look at the others once, and none at memory.
#[derive(Debug, Default)]
pub(in crate::agent) struct FileSystems {
    asked: Option<JoinHandle<(Observations, Layout)>>,
    layout: Layout,
}

impl FileSystems {
    /// On which file systems things lay when that was last found out.
    pub(super) const fn layout(&self) -> Layout {
        self.layout
    }

    /// Looks at them; `look` blocks. Nothing while a file system does not answer.
    pub(super) async fn observe(
        &mut self,
        look: impl FnOnce() -> (Observations, Layout) + Send + 'static,
    ) -> Observations {
        match &self.asked {
            Some(earlier) if !earlier.is_finished() => return Observations::new(),
            // What an earlier look has found at last is no longer so.
            Some(_) | None => {}
        }
        let asked = self.asked.insert(spawn_blocking(look));
        let Ok(found) = timeout(PATIENCE, asked).await else {
            warn!("a file system does not answer; what the disks have left is not known until it does");
            return Observations::new();
        };
        self.asked = None;
        let (found, layout) = found.unwrap_or_else(|_| (Observations::new(), self.layout));
        self.layout = layout;
        found
    }
}

impl Machine {
    /// Asks the runtime where its images lie, once it tells.
    pub(super) async fn find_file_systems(&mut self) {
        if self.meter.image_dir.is_some() {
            return;
        }
        match timeout(PATIENCE, self.context.cri.image_fs_info()).await {
            Ok(Ok(info)) => {
                let first = |systems: Vec<FilesystemUsage>| {
                    Some(PathBuf::from(systems.into_iter().next()?.fs_id?.mountpoint))
                };
                self.meter.image_dir = first(info.image_filesystems);
                self.meter.layer_dir = first(info.container_filesystems);
            }
            Ok(Err(error)) => warn!(%error, "cannot ask where the images lie"),
            Err(_) => warn!("the runtime takes long to say where its images lie"),
        }
    }

    /// What the pods use of memory or processes; nothing if the runtime doesn't answer, for then no pod could be ended.
    pub(super) async fn uses(&self, resource: Resource, pods: &[Arc<Pod>]) -> Option<Vec<PodUse>> {
        let stats = stats(&self.context).await?;
        let of_pod = |pod: &Arc<Pod>| {
            let cgroup = self.cgroup_of(pod);
            if resource == Resource::Pids {
                return PodUse { used: self.meter.processes(&cgroup), containers: Vec::new() };
            }
            let ids: BTreeMap<&str, &str> = running(pod).collect();
            let of_container = |name: &str| {
                let found = stats.get(*ids.get(name)?)?.memory.as_ref()?;
                found.working_set_bytes.as_ref().map(|bytes| bytes.value)
            };
            PodUse {
                used: self.meter.working_set(&cgroup),
                containers: container_uses(pod, resource, of_container),
            }
        };
        Some(pods.iter().map(of_pod).collect())
    }

    fn cgroup_of(&self, pod: &Pod) -> String {
        let host = self.context.host();
        let class = QosClass::of(pod).unwrap_or(QosClass::BestEffort);
        CgroupName::of_pod(&host.cgroups, class, uid_of(pod)).path(host.cgroups.driver)
    }
}

/// What the runtime says of our containers; nothing if it doesn't answer.
async fn stats(context: &PodContext) -> Option<Stats> {
    let mark = BTreeMap::from([(MARK.to_owned(), context.host().node_name.clone())]);
    let stats = context.cri.list_container_stats(&mark).await;
    let stats = stats.inspect_err(|error| warn!(%error, "cannot ask what containers use")).ok()?;
    let by_id = |stats: ContainerStats| Some((stats.attributes.as_ref()?.id.clone(), stats));
    Some(stats.into_iter().filter_map(by_id).collect())
}

/// What pods have on disk; nothing if the runtime doesn't say what of it is containers'.
pub(super) async fn walk(context: Arc<PodContext>, pods: Vec<Arc<Pod>>, wanted: Limited) -> Option<Disks> {
    let stats = if wanted.containers { Some(stats(&context).await?) } else { None };
    let logs_root = context.host().pod_logs_dir.clone();
    let walked = spawn_blocking(move || {
        let of_pod = |pod: &Arc<Pod>| {
            let containers = stats.as_ref().map(|stats| containers(pod, &logs_root, stats));
            let disk =
                PodDisk { volumes: volumes(&context, pod), containers: containers.unwrap_or_default() };
            (uid_of(pod).to_owned(), disk)
        };
        pods.iter().map(of_pod).collect()
    });
    walked.await.ok()
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

fn containers(pod: &Pod, logs_root: &Path, stats: &Stats) -> BTreeMap<String, ContainerDisk> {
    let metadata = &pod.metadata;
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let owner = LogOwner {
        namespace: namespace.unwrap_or_default(),
        pod: name.unwrap_or_default(),
        uid: uid_of(pod),
    };
    let logs = owner.directory(logs_root);
    let of_container = |(name, id): (&str, &str)| {
        let layer = stats.get(id).and_then(|stats| stats.writable_layer.as_ref());
        let root = layer.and_then(|layer| {
            let value = |value: &UInt64Value| value.value;
            let inodes = layer.inodes_used.as_ref().map_or(0, value);
            Some(Space { bytes: layer.used_bytes.as_ref().map(value)?, inodes })
        });
        (name.to_owned(), ContainerDisk { root, logs: usage_below(&logs.join(name)) })
    };
    running(pod).map(of_container).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::time::Instant;

    use super::*;
    use crate::eviction::Signal;
    use crate::eviction::assessment::Observation;

    #[tokio::test]
    async fn a_file_system_that_hangs_holds_up_one_look_and_is_asked_again_when_it_answers() {
        let mut systems = FileSystems::default();
        let found = |available| {
            let observation = Observation { available, capacity: 100 };
            (Observations::from([(Signal::NodeFsAvailable, observation)]), Layout::ImageFs)
        };
        assert_eq!(systems.observe(move || found(1)).await.len(), 1);
        assert_eq!(systems.layout(), Layout::ImageFs);
        let (let_go, hangs) = mpsc::channel::<()>();
        let hanging = move || {
            let _ = hangs.recv();
            found(2)
        };
        assert!(systems.observe(hanging).await.is_empty());
        let begun = Instant::now();
        assert!(systems.observe(move || found(3)).await.is_empty(), "only one thread hangs");
        assert!(begun.elapsed() < PATIENCE, "and nobody waits for it again");
        drop(let_go);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let observed = systems.observe(move || found(4)).await;
            if let Some(observed) = observed.get(&Signal::NodeFsAvailable) {
                assert_eq!(observed.available, 4, "what was found long ago is not told");
                break;
            }
            assert!(Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
    }
}
