//! All volumes of a pod: set up before its containers, brought up to date while they run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Pod, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::atomic_writer::{self, Written};
use super::beneath::{self, Way};
use super::empty_dir::{self, Medium};
use super::error::{At, PathError, Reason, VolumeError};
use super::layout::{Plugin, VolumeRoot};
use super::ownership::{self, Access};
use super::payload::{DEFAULT_MODE, Payload};
use super::quantity::Amount;
use super::{config_map, downward_api, host_path, nested, projected, secret, sub_path};
use crate::manifest::Objects;

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
        let Some((plugin, payload)) = payload_of(volumes, volume) else { continue };
        let reason = match filled(root, volumes, volume, plugin, payload) {
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

/// What is in a volume that was set up.
enum Contents {
    /// What the host, the image or the pod itself puts there.
    Own,
    /// What the store says.
    Written(Written),
    /// What the store said before: now it can't be made, for this reason.
    Stale(Reason),
}

/// The pod's volumes that some container mounts.
fn used(pod: &Pod) -> impl Iterator<Item = &Volume> {
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
    match payload_of(volumes, volume) {
        Some((plugin, payload)) => filled(root, volumes, volume, plugin, payload),
        None => Err(Reason::Unsupported(unsupported_kind(volume))),
    }
}

/// The files of a volume that is made of API objects; `None` for another kind.
fn payload_of<'a>(
    volumes: &PodVolumes<'a>,
    volume: &'a Volume,
) -> Option<(Plugin, Result<Payload<'a>, Reason>)> {
    let PodVolumes { pod, objects, allocatable, .. } = *volumes;
    let namespace = volumes.namespace();
    if let Some(source) = &volume.config_map {
        let (items, mode) = (source.items.as_deref(), source.default_mode.unwrap_or(DEFAULT_MODE));
        let object = objects.config_map(namespace, &source.name);
        let optional = source.optional.unwrap_or_default();
        return Some((Plugin::ConfigMap, config_map::payload(object, &source.name, items, mode, optional)));
    }
    if let Some(source) = &volume.secret {
        let (items, mode) = (source.items.as_deref(), source.default_mode.unwrap_or(DEFAULT_MODE));
        let name = source.secret_name.as_deref().unwrap_or_default();
        let object = objects.secret(namespace, name);
        let optional = source.optional.unwrap_or_default();
        return Some((Plugin::Secret, secret::payload(object, name, items, mode, optional)));
    }
    if let Some(source) = &volume.downward_api {
        let (items, mode) = (source.items.as_deref(), source.default_mode.unwrap_or(DEFAULT_MODE));
        let payload = downward_api::payload(items.unwrap_or_default(), pod, allocatable, mode);
        return Some((Plugin::DownwardApi, payload));
    }
    let source = volume.projected.as_ref()?;
    Some((Plugin::Projected, projected::payload(source, pod, namespace, objects, allocatable)))
}

/// A directory on disk (configMap) or in memory (the others) that holds the payload.
fn filled(
    root: &VolumeRoot,
    volumes: &PodVolumes<'_>,
    volume: &Volume,
    plugin: Plugin,
    payload: Result<Payload<'_>, Reason>,
) -> Result<(MountSource, Contents), Reason> {
    let dir = root.volume_dir(volumes.uid(), plugin, &volume.name)?;
    let payload = payload.and_then(|payload| payload.check().map(|()| payload).map_err(Reason::from));
    let contents = match payload {
        Ok(payload) => {
            let medium = match plugin {
                Plugin::ConfigMap | Plugin::EmptyDir => Medium::Disk,
                Plugin::Secret | Plugin::DownwardApi | Plugin::Projected => {
                    let size =
                        empty_dir::memory_size(volumes.allocatable_memory(), volumes.memory_limit, None);
                    Medium::Memory { size }
                }
            };
            let ready_dir = root.ready_dir(volumes.uid(), plugin, &volume.name)?;
            empty_dir::ensure(&dir, &ready_dir, &medium, volumes.group())?;
            Contents::Written(fill(&dir, volumes, volume, &payload)?)
        }
        Err(reason) if atomic_writer::is_written(&dir) => Contents::Stale(reason),
        Err(reason) => return Err(reason),
    };
    let source =
        MountSource { host_path: dir, read_only: true, selinux_relabel: true, ..MountSource::default() };
    Ok((source, contents))
}

fn fill(
    dir: &Path,
    volumes: &PodVolumes<'_>,
    volume: &Volume,
    payload: &Payload<'_>,
) -> Result<Written, Reason> {
    if let Some(spec) = &volumes.pod.spec {
        let points = nested::mount_points(spec, &volume.name)?;
        make_mount_points(dir, &points, payload)?;
    }
    atomic_writer::write(dir, payload, || match volumes.group() {
        Some(group) => ownership::apply(dir, group, Access::Read).map_err(Reason::from),
        None => Ok(()),
    })
}

/// Makes directories for other volumes to be mounted on, unless the payload itself has something there.
fn make_mount_points(dir: &Path, points: &BTreeSet<PathBuf>, payload: &Payload<'_>) -> Result<(), PathError> {
    let volume = beneath::open_dir(dir).at("open", dir)?;
    for point in points {
        let top = point.iter().next();
        if payload.top_names().any(|name| top == Some(name.as_ref())) {
            continue;
        }
        let full = dir.join(point);
        match beneath::open(&volume, point, OFlag::O_PATH, Way::Links) {
            Err(Errno::ENOENT) => {
                sub_path::make_dirs(&volume, dir, point, 0o755).at("make directory", &full)?
            }
            other => other.map(drop).at("open", &full)?,
        }
    }
    Ok(())
}

impl<'a> PodVolumes<'a> {
    fn uid(&self) -> &'a str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &'a str {
        self.pod.metadata.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or("default")
    }

    /// `fsGroup`
    fn group(&self) -> Option<u32> {
        let group = self.pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
        u32::try_from(group).ok()
    }

    fn allocatable_memory(&self) -> Option<u64> {
        let amount = Amount::parse(self.allocatable.get("memory")?)?;
        u64::try_from(amount.units()).ok()
    }
}

/// The field that says what kind of volume this is, among those that daemonlet refuses.
fn unsupported_kind(volume: &Volume) -> &'static str {
    let kinds = [
        (volume.persistent_volume_claim.is_some(), "persistentVolumeClaim"),
        (volume.ephemeral.is_some(), "ephemeral"),
        (volume.csi.is_some(), "csi"),
        (volume.nfs.is_some(), "nfs"),
        (volume.iscsi.is_some(), "iscsi"),
        (volume.fc.is_some(), "fc"),
        (volume.flex_volume.is_some(), "flexVolume"),
        (volume.git_repo.is_some(), "gitRepo"),
        (volume.cephfs.is_some(), "cephfs"),
        (volume.rbd.is_some(), "rbd"),
        (volume.glusterfs.is_some(), "glusterfs"),
        (volume.aws_elastic_block_store.is_some(), "awsElasticBlockStore"),
        (volume.azure_disk.is_some(), "azureDisk"),
        (volume.azure_file.is_some(), "azureFile"),
        (volume.gce_persistent_disk.is_some(), "gcePersistentDisk"),
        (volume.cinder.is_some(), "cinder"),
        (volume.vsphere_volume.is_some(), "vsphereVolume"),
        (volume.portworx_volume.is_some(), "portworxVolume"),
        (volume.photon_persistent_disk.is_some(), "photonPersistentDisk"),
        (volume.quobyte.is_some(), "quobyte"),
        (volume.scale_io.is_some(), "scaleIO"),
        (volume.storageos.is_some(), "storageos"),
        (volume.flocker.is_some(), "flocker"),
    ];
    kinds.into_iter().find_map(|(is, kind)| is.then_some(kind)).unwrap_or("unknown")
}
