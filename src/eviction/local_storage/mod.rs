//! What a pod has written to the node's disk, and whether that is more than its limits allow.
//!
//! Pure. Looked at in the kubelet's order: each emptyDir's `sizeLimit`, the pod's limits of `ephemeral-storage` together, each container's
//! own. An emptyDir in memory is left out: its file system itself ends where the limit is. Rule: `localStorageEviction` of
//! `pkg/kubelet/eviction/eviction_manager.go`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::AddAssign;

use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::signal::{Resource, Signal};
use crate::cri::translate::pod_resources::{Overhead, pod_limits};
use crate::manifest::Quantity;

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

/// What one container that runs has written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerDisk {
    /// Over its image, if the runtime says.
    pub root: Option<Space>,
    /// Its logs.
    pub logs: Space,
}

impl ContainerDisk {
    fn root_bytes(&self) -> u64 {
        self.root.map_or(0, |root| root.bytes)
    }
}

/// What a pod has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodDisk {
    /// By container, those that run.
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
                sum += container.root.unwrap_or_default();
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
    used += disk.containers.values().map(|it| it.root_bytes() + it.logs.bytes).sum::<u64>();
    (used > limit).then(|| Excess {
        signal: "ephemeralpodfs.limit",
        message: format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {}. ",
            in_first_family(pod, limit)
        ),
    })
}

/// A sum of limits is written as the first that is part of it (`resource.Quantity`'s `Add`).
fn in_first_family(pod: &Pod, sum: u64) -> Quantity {
    let spec = pod.spec.iter();
    let mut all = spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let sum = Quantity::from_value(i64::try_from(sum).unwrap_or(i64::MAX));
    all.find_map(limit).map_or(sum, |(_, first)| sum.in_family_of(first))
}

fn container_excess(pod: &Pod, disk: &PodDisk, layout: Layout) -> Option<Excess> {
    pod.spec.as_ref()?.containers.iter().find_map(|container| {
        let (limit, written) = limit(container)?;
        let found = disk.containers.get(&container.name)?;
        let layer = if layout == Layout::Shared { found.root_bytes() } else { 0 };
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
fn size_limit(volume: &Volume) -> Option<(u64, Quantity)> {
    let empty_dir = volume.empty_dir.as_ref().filter(|_| is_on_disk(volume))?;
    positive(empty_dir.size_limit.as_ref()?)
}

/// Whether a volume is an emptyDir on the node's disk.
pub fn is_on_disk(volume: &Volume) -> bool {
    let medium = volume.empty_dir.as_ref().map(|empty_dir| empty_dir.medium.as_deref().unwrap_or_default());
    medium.is_some_and(str::is_empty)
}

fn limit(container: &Container) -> Option<(u64, Quantity)> {
    positive(container.resources.as_ref()?.limits.as_ref()?.get(STORAGE)?)
}

fn positive(quantity: &ApiQuantity) -> Option<(u64, Quantity)> {
    let written = Quantity::try_from(quantity).ok()?;
    let value = u64::try_from(written.value()).ok()?;
    (value > 0).then_some((value, written))
}
