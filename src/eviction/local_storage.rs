//! What a pod has written to the node's disk, and whether that is more than its limits allow.
//!
//! Pure. Looked at in the kubelet's order: each emptyDir's `sizeLimit`, the pod's limits of `ephemeral-storage` together, each container's
//! own. An emptyDir in memory is left out: its file system itself ends where the limit is. Rule: `localStorageEviction` of
//! `pkg/kubelet/eviction/eviction_manager.go`.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::signal::{Resource, Signal};
use crate::cri::translate::pod_resources::{Overhead, pod_limits};
use crate::manifest::Quantity;
use crate::node::binary_quantity;

const STORAGE: &str = "ephemeral-storage";

/// Room on a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes of whole blocks.
    pub bytes: u64,
    /// Files, directories and whatever else has an inode.
    pub inodes: u64,
}

impl AddAssign for Space {
    fn add_assign(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.inodes = self.inodes.saturating_add(other.inodes);
    }
}

/// What one container has written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerDisk {
    /// Over its image.
    pub root: Space,
    /// Its logs.
    pub logs: Space,
}

/// What a pod has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodDisk {
    /// By container.
    pub containers: BTreeMap<String, ContainerDisk>,
    /// By volume, those on the node's disk.
    pub volumes: BTreeMap<String, Space>,
}

/// On which file systems things lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// Images, layers, volumes and logs share one.
    #[default]
    Shared,
    /// Images and containers' layers have one of their own.
    ImageFs,
    /// Only images have; layers lie with volumes and logs.
    SplitImageFs,
}

impl Layout {
    /// Whether containers' layers lie on the file system that a signal is about, and whether volumes and logs do.
    const fn holds(self, signal: Signal) -> (bool, bool) {
        let about_images = matches!(signal, Signal::ImageFsAvailable | Signal::ImageFsInodesFree);
        match self {
            Layout::Shared => (true, true),
            Layout::ImageFs => (about_images, !about_images),
            Layout::SplitImageFs => (!about_images, !about_images),
        }
    }

    /// Whether removing images frees what a signal is about.
    pub const fn images_free(self, signal: Signal) -> bool {
        match signal {
            Signal::ImageFsAvailable | Signal::ImageFsInodesFree => true,
            Signal::NodeFsAvailable | Signal::NodeFsInodesFree => matches!(self, Layout::Shared),
            Signal::MemoryAvailable | Signal::AllocatableMemoryAvailable | Signal::PidAvailable => false,
        }
    }

    /// Whether removing dead containers does.
    pub const fn dead_containers_free(self, signal: Signal) -> bool {
        matches!(signal.resource(), Resource::EphemeralStorage | Resource::Inodes) && self.holds(signal).0
    }
}

impl PodDisk {
    /// What the pod has on the file system that a signal is about.
    pub fn beneath(&self, signal: Signal, layout: Layout) -> Space {
        let (layers, rest) = layout.holds(signal);
        let mut sum = Space::default();
        for container in self.containers.values() {
            if layers {
                sum += container.root;
            }
            if rest {
                sum += container.logs;
            }
        }
        if rest {
            self.volumes.values().for_each(|volume| sum += *volume);
        }
        sum
    }
}

/// A limit that was exceeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// The kubelet's name for the limit, for metrics.
    pub signal: &'static str,
    /// What is said of the pod.
    pub message: String,
}

/// Whether any limit must be watched, and of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limited {
    /// Some emptyDir on disk has a size limit.
    pub volumes: bool,
    /// Some container has a limit of `ephemeral-storage`, so that its layers and logs count.
    pub containers: bool,
}

impl Limited {
    /// What must be watched of a pod.
    pub fn of(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let containers =
            spec.is_some_and(|spec| pod_limits(spec, Overhead::Counted).milli(STORAGE).is_some());
        Self { volumes: volumes(pod).any(|volume| size_limit(volume).is_some()), containers }
    }
}

/// The first limit that a pod exceeds.
pub fn excess(pod: &Pod, disk: &PodDisk, layout: Layout) -> Option<Excess> {
    volume_excess(pod, disk).or_else(|| pod_excess(pod, disk)).or_else(|| container_excess(pod, disk, layout))
}

fn volume_excess(pod: &Pod, disk: &PodDisk) -> Option<Excess> {
    volumes(pod).find_map(|volume| {
        let (limit, written) = size_limit(volume)?;
        let used = disk.volumes.get(&volume.name)?.bytes;
        let name = &volume.name;
        (used > limit).then(|| Excess {
            signal: "emptydirfs.limit",
            message: format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{written}\". "),
        })
    })
}

fn pod_excess(pod: &Pod, disk: &PodDisk) -> Option<Excess> {
    let limits = pod_limits(pod.spec.as_ref()?, Overhead::Counted);
    limits.milli(STORAGE)?;
    let limit = u64::try_from(limits.whole(STORAGE)).unwrap_or(0);
    let mut used: u64 = disk.volumes.values().map(|volume| volume.bytes).sum();
    used += disk.containers.values().map(|it| it.root.bytes + it.logs.bytes).sum::<u64>();
    let limit_text = binary_quantity(limit).0;
    (used > limit).then(|| Excess {
        signal: "ephemeralpodfs.limit",
        message: format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {limit_text}. "
        ),
    })
}

fn container_excess(pod: &Pod, disk: &PodDisk, layout: Layout) -> Option<Excess> {
    pod.spec.as_ref()?.containers.iter().find_map(|container| {
        let (limit, written) = limit(container)?;
        let found = disk.containers.get(&container.name)?;
        let layer = if layout == Layout::Shared { found.root.bytes } else { 0 };
        let name = &container.name;
        (found.logs.bytes + layer > limit).then(|| Excess {
            signal: "ephemeralcontainerfs.limit",
            message: format!("Container {name} exceeded its local ephemeral storage limit \"{written}\". "),
        })
    })
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

/// The limit of an emptyDir on disk.
fn size_limit(volume: &Volume) -> Option<(u64, &str)> {
    let empty_dir = volume.empty_dir.as_ref().filter(|_| is_on_disk(volume))?;
    positive(empty_dir.size_limit.as_ref()?)
}

/// Whether a volume is an emptyDir on the node's disk.
pub fn is_on_disk(volume: &Volume) -> bool {
    let medium = volume.empty_dir.as_ref().map(|empty_dir| empty_dir.medium.as_deref().unwrap_or_default());
    medium.is_some_and(str::is_empty)
}

fn limit(container: &Container) -> Option<(u64, &str)> {
    positive(container.resources.as_ref()?.limits.as_ref()?.get(STORAGE)?)
}

fn positive(quantity: &ApiQuantity) -> Option<(u64, &str)> {
    let value = u64::try_from(quantity.0.parse::<Quantity>().ok()?.value()).ok()?;
    (value > 0).then_some((value, quantity.0.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MI: u64 = 1 << 20;

    fn pod() -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": {
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": "10Mi"}},
            {"name": "free", "emptyDir": {}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        ],
        "containers": [
            {"name": "a", "resources": {"limits": {"ephemeral-storage": "20Mi"}}},
            {"name": "b", "resources": {"limits": {"ephemeral-storage": "40Mi"}}},
        ]}}))
        .expect("a pod")
    }

    fn space(mi: u64) -> Space {
        Space { bytes: mi * MI, inodes: mi }
    }

    fn disk(volumes: &[(&str, u64)], containers: &[(&str, u64, u64)]) -> PodDisk {
        PodDisk {
            volumes: volumes.iter().map(|(name, mi)| ((*name).to_owned(), space(*mi))).collect(),
            containers: containers
                .iter()
                .map(|(name, root, logs)| {
                    ((*name).to_owned(), ContainerDisk { root: space(*root), logs: space(*logs) })
                })
                .collect(),
        }
    }

    #[test]
    fn the_first_limit_that_is_exceeded_is_told() {
        let volume = "Usage of EmptyDir volume \"scratch\" exceeds the limit \"10Mi\". ";
        let whole = "Pod ephemeral local storage usage exceeds the total limit of containers 60Mi. ";
        let one = "Container a exceeded its local ephemeral storage limit \"20Mi\". ";
        for (volumes, containers, layout, expected) in [
            (vec![("scratch", 10), ("shm", 9)], vec![], Layout::Shared, None),
            (vec![("scratch", 11), ("free", 500)], vec![("a", 30, 0)], Layout::Shared, Some(volume)),
            (vec![("free", 50)], vec![("a", 5, 6)], Layout::Shared, Some(whole)),
            (vec![], vec![("a", 15, 6)], Layout::Shared, Some(one)),
            (vec![], vec![("a", 15, 6)], Layout::ImageFs, None),
            (vec![], vec![("a", 0, 21)], Layout::ImageFs, Some(one)),
            (vec![], vec![("a", 20, 0), ("b", 40, 0)], Layout::Shared, None),
        ] {
            let found = excess(&pod(), &disk(&volumes, &containers), layout);
            assert_eq!(found.as_ref().map(|it| it.message.as_str()), expected, "{volumes:?} {containers:?}");
        }
    }

    #[test]
    fn only_pods_with_limits_are_watched() {
        assert_eq!(Limited::of(&pod()), Limited { volumes: true, containers: true });
        let free: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {
            "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}, {"name": "free", "emptyDir": {}}],
            "containers": [{"name": "a", "resources": {"limits": {"memory": "1Gi"}}}]}}))
        .expect("a pod");
        assert_eq!(Limited::of(&free), Limited::default());
    }

    #[test]
    fn each_file_system_is_answered_by_what_lies_on_it() {
        let disk = disk(&[("v", 1)], &[("a", 10, 100)]);
        for (layout, signal, expected) in [
            (Layout::Shared, Signal::NodeFsAvailable, 111),
            (Layout::Shared, Signal::ImageFsAvailable, 111),
            (Layout::ImageFs, Signal::NodeFsInodesFree, 101),
            (Layout::ImageFs, Signal::ImageFsAvailable, 10),
            (Layout::SplitImageFs, Signal::NodeFsAvailable, 111),
            (Layout::SplitImageFs, Signal::ImageFsInodesFree, 0),
        ] {
            assert_eq!(disk.beneath(signal, layout), space(expected), "{layout:?} {signal:?}");
        }
        assert!(Layout::Shared.images_free(Signal::NodeFsAvailable));
        assert!(!Layout::ImageFs.images_free(Signal::NodeFsAvailable));
        assert!(!Layout::ImageFs.dead_containers_free(Signal::NodeFsAvailable));
        assert!(!Layout::Shared.dead_containers_free(Signal::PidAvailable));
    }
}
