//! All volumes of a pod: set up before its containers, brought up to date while they run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Pod, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::atomic_writer::Written;
use super::contents::{self, Contents};
use super::empty_dir::{self, Medium};
use super::error::{Reason, VolumeError};
use super::layout::{Plugin, VolumeRoot};
use super::{host_path, unsupported};
use crate::manifest::{self, Objects};

/// A pod whose volumes are wanted, and what they are made from.
#[derive(Debug, Clone, Copy)]
pub struct PodVolumes<'a> {
    /// The pod, its UID set.
    pub pod: &'a Pod,
    /// Where ConfigMaps and Secrets are found.
    pub objects: &'a Objects,
    /// What the node gives to pods (`status.allocatable`): for resourceFieldRef and the size of tmpfs volumes.
    pub allocatable: &'a BTreeMap<String, Quantity>,
    /// The memory limit of the pod's cgroup in bytes, if it has one.
    pub memory_limit: Option<u64>,
}

/// What a container mounts for a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountSource {
    /// The directory or file on this node; empty for an image volume.
    pub host_path: PathBuf,
    /// Whether the volume is read-only whatever its mounts say.
    pub read_only: bool,
    /// Whether the `SELinux` labels of its files may be changed for the pod.
    pub selinux_relabel: bool,
    /// The image to mount, for an image volume.
    pub image: Option<String>,
    /// `sizeLimit` of an emptyDir in bytes. On disk it is not a quota: eviction watches it.
    pub size_limit: Option<u64>,
}

/// A pod's volumes, all usable.
#[derive(Debug, Default)]
pub struct SetUp {
    /// By the volumes' names; those that no container mounts are not there.
    pub sources: BTreeMap<String, MountSource>,
    /// Volumes that keep what they held before because their new contents can't be made.
    pub stale: Vec<VolumeError>,
}

/// What [`refresh`] found.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// The volumes whose files were replaced.
    pub changed: Vec<String>,
    /// Those that could not be brought up to date; their old files stay.
    pub errors: Vec<VolumeError>,
}

/// Sets up every volume that a container mounts. Safe to call again at any time, also after a kill in the middle.
///
/// # Errors
/// Every volume that can't be used, each with its reason. The others are set up.
pub fn set_up(root: &VolumeRoot, volumes: &PodVolumes<'_>) -> Result<SetUp, Vec<VolumeError>> {
    let mut done = SetUp::default();
    let mut errors = Vec::new();
    for volume in used(volumes.pod) {
        let error = |reason| VolumeError { volume: volume.name.clone(), reason };
        match one(root, volumes, volume) {
            Ok((source, Contents::Stale(reason))) => {
                done.sources.insert(volume.name.clone(), source);
                done.stale.push(error(reason));
            }
            Ok((source, _)) => {
                done.sources.insert(volume.name.clone(), source);
            }
            Err(reason) => errors.push(error(reason)),
        }
    }
    if errors.is_empty() { Ok(done) } else { Err(errors) }
}

/// Brings the files of configMap, secret, downwardAPI and projected volumes up to date with the store. Nothing is written
/// where nothing differs. A running container sees the change, except through a subPath.
pub fn refresh(root: &VolumeRoot, volumes: &PodVolumes<'_>) -> Refreshed {
    let mut refreshed = Refreshed::default();
    for volume in used(volumes.pod) {
        let Some((plugin, payload)) = contents::payload_of(volumes, volume) else { continue };
        let reason = match contents::filled(root, volumes, volume, plugin, payload) {
            Ok((_, Contents::Written(Written::Replaced))) => {
                refreshed.changed.push(volume.name.clone());
                continue;
            }
            Ok((_, Contents::Written(Written::Unchanged) | Contents::Own)) => continue,
            Ok((_, Contents::Stale(reason))) | Err(reason) => reason,
        };
        refreshed.errors.push(VolumeError { volume: volume.name.clone(), reason });
    }
    refreshed
}

/// The pod's volumes that some container mounts.
pub(super) fn used(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let spec = pod.spec.as_ref();
    let mounted: BTreeSet<&str> = spec.map(mounted_names).unwrap_or_default();
    let volumes = spec.and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    volumes.iter().filter(move |volume| mounted.contains(volume.name.as_str()))
}

fn mounted_names(spec: &PodSpec) -> BTreeSet<&str> {
    let regular = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mounts = regular.filter_map(|container| container.volume_mounts.as_deref());
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let mounts = mounts.chain(ephemeral.filter_map(|container| container.volume_mounts.as_deref()));
    mounts.flatten().map(|mount| mount.name.as_str()).collect()
}

fn one(
    root: &VolumeRoot,
    volumes: &PodVolumes<'_>,
    volume: &Volume,
) -> Result<(MountSource, Contents), Reason> {
    if let Some(source) = &volume.host_path {
        let host_path = host_path::set_up(source)?;
        return Ok((MountSource { host_path, ..MountSource::default() }, Contents::Own));
    }
    if let Some(source) = &volume.empty_dir {
        let spec = volumes.pod.spec.as_ref();
        let medium = match spec {
            Some(spec) => {
                empty_dir::medium(source, spec, volumes.allocatable_memory(), volumes.memory_limit)?
            }
            None => Medium::Disk,
        };
        let dir = root.volume_dir(volumes.uid(), Plugin::EmptyDir, &volume.name)?;
        let ready_dir = root.ready_dir(volumes.uid(), Plugin::EmptyDir, &volume.name)?;
        empty_dir::ensure(&dir, &ready_dir, &medium, volumes.group())?;
        let size_limit = empty_dir::size_limit(source);
        let source =
            MountSource { host_path: dir, selinux_relabel: true, size_limit, ..MountSource::default() };
        return Ok((source, Contents::Own));
    }
    if let Some(source) = &volume.image {
        let image = Some(source.reference.clone().unwrap_or_default());
        return Ok((MountSource { read_only: true, image, ..MountSource::default() }, Contents::Own));
    }
    match contents::payload_of(volumes, volume) {
        Some((plugin, payload)) => contents::filled(root, volumes, volume, plugin, payload),
        None => Err(Reason::Unsupported(unsupported::kind(volume))),
    }
}

impl<'a> PodVolumes<'a> {
    pub(super) fn uid(&self) -> &'a str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> &'a str {
        self.pod.metadata.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or("default")
    }

    /// `fsGroup`
    pub(super) fn group(&self) -> Option<u32> {
        let group = self.pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
        u32::try_from(group).ok()
    }

    pub(super) fn allocatable_memory(&self) -> Option<u64> {
        let amount = manifest::Quantity::try_from(self.allocatable.get("memory")?).ok()?;
        u64::try_from(amount.value()).ok()
    }
}
