//! What a pod uses of what is short, beside what it requests of it: who goes first, and who is blamed, follow from it.
//!
//! Pure. Only containers that run count, as in the kubelet's summary (`removeTerminatedContainers` of `pkg/kubelet/stats`); a container is
//! blamed for what is known of it and for nothing else (`evictionMessage` of `pkg/kubelet/eviction/helpers.go`).

use k8s_openapi::api::core::v1::{Container, Pod};

use super::Signal;
use super::local_storage::{Layout, PodDisk};
use super::message::ContainerUse;
use super::signal::Resource;
use crate::cri::translate::pod_resources::{Overhead, pod_requests};
use crate::manifest::Quantity;

/// What a pod uses of what is short.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodUse {
    /// All of it; `None` if it could not be measured.
    pub used: Option<u64>,
    /// By container, where that is known.
    pub containers: Vec<ContainerUse>,
}

impl PodUse {
    /// What a pod uses of the disk that a signal is about.
    pub fn of_disk(pod: &Pod, disk: &PodDisk, signal: Signal, layout: Layout) -> Self {
        let (space, resource) = (disk.beneath(signal, layout), signal.resource());
        let used = if resource == Resource::Inodes { space.inodes } else { space.bytes };
        let containers = container_uses(pod, resource, |name| {
            let found = disk.containers.get(name)?;
            Some(found.root?.bytes.saturating_add(found.logs.bytes))
        });
        Self { used: Some(used), containers }
    }
}

/// What each container uses, as far as it is known, beside what it requests.
pub fn container_uses(
    pod: &Pod,
    resource: Resource,
    used: impl Fn(&str) -> Option<u64>,
) -> Vec<ContainerUse> {
    let of = |container: &Container| {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let requested =
            requests.and_then(|requests| Quantity::try_from(requests.get(resource.as_str())?).ok());
        Some(ContainerUse {
            used: used(&container.name)?,
            name: container.name.clone(),
            requested: requested.unwrap_or(Quantity::ZERO),
        })
    };
    let spec = pod.spec.iter();
    let all = spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    all.filter_map(of).collect()
}

/// What a pod requests of what is short; nobody can request inodes or processes.
pub fn requested(pod: &Pod, resource: Resource) -> u64 {
    let name = match resource {
        Resource::Memory | Resource::EphemeralStorage => resource.as_str(),
        Resource::Inodes | Resource::Pids => return 0,
    };
    let requests = pod.spec.as_ref().map(|spec| pod_requests(spec, Overhead::Counted));
    requests.map_or(0, |requests| u64::try_from(requests.whole(name)).unwrap_or(0))
}

/// The names of the containers that run, and their ids in the runtime.
pub fn running(pod: &Pod) -> impl Iterator<Item = (&str, &str)> {
    let status = pod.status.iter();
    let lists = status.flat_map(|status| [&status.container_statuses, &status.init_container_statuses]);
    lists.flatten().flatten().filter_map(|status| {
        status.state.as_ref()?.running.as_ref()?;
        let id = status.container_id.as_deref()?;
        Some((status.name.as_str(), id.split_once("://").map_or(id, |(_, id)| id)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::eviction::local_storage::{ContainerDisk, Space};

    fn pod() -> Pod {
        let running = |name: &str| {
            json!({"name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "containerID": format!("containerd://{name}-2"), "state": {"running": {}}})
        };
        serde_json::from_value(json!({
            "metadata": {},
            "spec": {
                "initContainers": [{"name": "init"}, {"name": "sidecar", "restartPolicy": "Always"}],
                "containers": [
                    {"name": "main", "resources": {"requests": {"ephemeral-storage": "1000Ki", "memory": "1024Mi"}}},
                    {"name": "fresh"},
                ],
            },
            "status": {
                "containerStatuses": [running("main"), {"name": "fresh", "image": "", "imageID": "", "ready": false,
                    "restartCount": 0, "containerID": "containerd://fresh-1", "state": {"waiting": {}}}],
                "initContainerStatuses": [running("sidecar"), {"name": "init", "image": "", "imageID": "", "ready": true,
                    "restartCount": 0, "containerID": "containerd://init-1", "state": {"terminated": {"exitCode": 0}}}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn only_containers_that_run_count() {
        let pod = pod();
        let found: Vec<_> = running(&pod).collect();
        assert_eq!(found, [("main", "main-2"), ("sidecar", "sidecar-2")]);
    }

    #[test]
    fn a_container_whose_layer_or_whose_all_is_not_known_is_not_blamed() {
        let space = |bytes| Space { bytes, inodes: 3 };
        let of = |root: Option<u64>| ContainerDisk { root: root.map(space), logs: space(4096) };
        let disk = PodDisk {
            containers: [("main".to_owned(), of(Some(1 << 20))), ("sidecar".to_owned(), of(None))].into(),
            volumes: [("scratch".to_owned(), space(7))].into(),
        };
        let found = PodUse::of_disk(&pod(), &disk, Signal::NodeFsAvailable, Layout::Shared);
        assert_eq!(found.used, Some((1 << 20) + 2 * 4096 + 7));
        let blamed: Vec<_> = found.containers.iter().map(|it| (it.name.as_str(), it.used)).collect();
        assert_eq!(blamed, [("main", (1 << 20) + 4096)]);
        assert_eq!(found.containers[0].requested.to_string(), "1000Ki");
        let inodes = PodUse::of_disk(&pod(), &disk, Signal::NodeFsInodesFree, Layout::Shared);
        assert_eq!(inodes.used, Some(12));
    }
}
