//! Volumes whose files are made of API objects: which files, on which medium, and how they get there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Volume;
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::atomic_writer::{self, Written};
use super::beneath::{self, Way};
use super::empty_dir::{self, Medium};
use super::error::{At, PathError, Reason};
use super::layout::{Plugin, VolumeRoot};
use super::ownership::{self, Access};
use super::payload::{DEFAULT_MODE, Payload};
use super::set_up::{MountSource, PodVolumes};
use super::{config_map, downward_api, nested, projected, secret, sub_path};

/// What is in a volume that was set up.
pub(super) enum Contents {
    /// What the host, the image or the pod itself puts there.
    Own,
    /// What the store says.
    Written(Written),
    /// What the store said before: now it can't be made, for this reason.
    Stale(Reason),
}

/// The files of a volume that is made of API objects; `None` for another kind.
pub(super) fn payload_of<'a>(
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
pub(super) fn filled(
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
                sub_path::make_dirs(&volume, dir, point, 0o755).at("make directory", &full)?;
            }
            other => other.map(drop).at("open", &full)?,
        }
    }
    Ok(())
}
