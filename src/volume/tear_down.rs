//! Takes a pod's volumes and its directory away once nothing of it runs, and lists the directories of pods.
//!
//! Only mounts that this room makes are undone. Any other below the pod's directory (a container may have made it, or an
//! administrator) stops the removal with its name: behind it may be anything.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::{At, PathError};
use super::layout::{InvalidName, Plugin, VolumeRoot, make_private_dirs};
use super::mounts::{self, Mount};
use super::remove::{self, RemoveError};

/// Why a pod's directory is still there. What is gone stays gone; trying again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum TearDownError {
    /// Mounts that are not ours lie below it.
    #[error(
        "pod {uid}: not removed because of what is mounted below its directory: {}; unmount it",
        list(.mounts)
    )]
    Mounted {
        /// The pod.
        uid: String,
        /// The mount points.
        mounts: Vec<PathBuf>,
    },
    /// The kernel refused.
    #[error(transparent)]
    Io(#[from] PathError),
    /// The UID is no file's name.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// Undoes the mounts of subPaths, then those of volumes, then removes the pod's directory. A pod without one is done.
///
/// Nothing of the pod may run any more.
pub fn tear_down(root: &VolumeRoot, uid: &str) -> Result<(), TearDownError> {
    let pod_dir = root.pod_dir(uid)?;
    match fs::symlink_metadata(&pod_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.at("look at", &pod_dir)?,
    };
    let sub_paths = root.sub_paths_dir(uid)?;
    for mount in mounts::at_or_beneath(&sub_paths).at("list the mounts below", &sub_paths)?.iter().rev() {
        if mounts::is_below_by(3, &sub_paths, &mount.point) {
            mounts::unmount_bind(&mount.point).at("unmount", &mount.point)?;
        }
    }
    let found = mounts::at_or_beneath(&pod_dir).at("list the mounts below", &pod_dir)?;
    let (ours, others): (Vec<Mount>, Vec<Mount>) =
        found.into_iter().partition(|mount| is_ours(&pod_dir, mount));
    if !others.is_empty() {
        let mounts = others.into_iter().map(|mount| mount.point).collect();
        return Err(TearDownError::Mounted { uid: uid.to_owned(), mounts });
    }
    for mount in ours.iter().rev() {
        mounts::unmount(&mount.point).at("unmount", &mount.point)?;
    }
    match remove::remove_dir(&root.pods_dir(), uid.as_ref()) {
        Ok(()) => Ok(()),
        Err(RemoveError::Mounted(point)) => {
            Err(TearDownError::Mounted { uid: uid.to_owned(), mounts: vec![point] })
        }
        Err(RemoveError::Io(error)) => Err(error.into()),
    }
}

/// Whether this room made the mount: memory at the place of a volume.
fn is_ours(pod_dir: &Path, mount: &Mount) -> bool {
    let volumes = pod_dir.join("volumes");
    matches!(mount.fs_type.as_str(), "tmpfs" | "hugetlbfs")
        && mounts::is_below_by(2, &volumes, &mount.point)
        && Plugin::ALL.iter().any(|plugin| mount.point.starts_with(volumes.join(plugin.dir_name())))
}

/// The names of the directories below `pods/`, in order: the UIDs of pods, and whatever else somebody has put there.
pub fn pod_dirs(root: &VolumeRoot) -> Result<Vec<String>, PathError> {
    let pods = root.pods_dir();
    let mut found = Vec::new();
    for entry in fs::read_dir(&pods).at("list", &pods)? {
        let entry = entry.at("list", &pods)?;
        let is_dir = entry.file_type().at("look at", &entry.path())?.is_dir();
        if is_dir {
            found.extend(entry.file_name().into_string());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes the directory of a pod that was taken down once more, empty: it proves that what else bears the pod's UID is ours.
///
/// # Errors
/// When it can't be made.
pub fn keep_dir(root: &VolumeRoot, uid: &str) -> Result<(), PathError> {
    let pods = root.pods_dir();
    let dir = root.pod_dir(uid).map_err(io::Error::other).at("name a directory in", &pods)?;
    make_private_dirs(&dir).at("make directory", &dir)
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}
