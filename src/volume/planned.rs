//! Where a pod's volumes and files will lie, by the layout alone: for a plan. Nothing on the node is made or looked at.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Volume;

use super::contents;
use super::error::{Reason, VolumeError};
use super::host_path;
use super::layout::{InvalidName, Plugin, VolumeRoot};
use super::set_up::{MountSource, PodVolumes, used};
use super::unsupported;

/// What containers will mount for each volume, and what is wrong with the others. Types of hostPaths are not checked.
pub fn planned(
    root: &VolumeRoot,
    volumes: &PodVolumes<'_>,
) -> (BTreeMap<String, MountSource>, Vec<VolumeError>) {
    let (mut sources, mut errors) = (BTreeMap::new(), Vec::new());
    for volume in used(volumes.pod) {
        match one(root, volumes, volume) {
            Ok(source) => drop(sources.insert(volume.name.clone(), source)),
            Err(reason) => errors.push(VolumeError { volume: volume.name.clone(), reason }),
        }
    }
    (sources, errors)
}

fn one(root: &VolumeRoot, volumes: &PodVolumes<'_>, volume: &Volume) -> Result<MountSource, Reason> {
    if let Some(source) = &volume.host_path {
        return Ok(MountSource { host_path: host_path::written(source)?, ..MountSource::default() });
    }
    if let Some(source) = &volume.image {
        let image = Some(source.reference.clone().unwrap_or_default());
        return Ok(MountSource { read_only: true, image, ..MountSource::default() });
    }
    let (plugin, read_only) = if volume.empty_dir.is_some() {
        (Plugin::EmptyDir, false)
    } else {
        let (plugin, payload) = contents::payload_of(volumes, volume)
            .ok_or_else(|| Reason::Unsupported(unsupported::kind(volume)))?;
        payload?.check().map_err(Reason::from)?;
        (plugin, true)
    };
    let host_path = root.volume_dir(volumes.uid(), plugin, &volume.name)?;
    Ok(MountSource { host_path, read_only, selinux_relabel: true, ..MountSource::default() })
}

/// The file for a container's last words; `id` stands for what makes its name another one each time.
///
/// # Errors
/// A name is not one segment of a path.
pub fn planned_termination_log(
    root: &VolumeRoot,
    uid: &str,
    container: &str,
    id: &str,
) -> Result<PathBuf, InvalidName> {
    Ok(root.container_dir(uid, container)?.join(id))
}
