//! Where everything of a pod lies: the kubelet's layout below its root directory.
//!
//! Names become path segments here and nowhere else, so here they are checked. Source: `pkg/kubelet/kubelet_getters.go`.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::error::{At, PathError};
use super::mounts;

/// The mode of every directory that only the agent reads.
pub(super) const PRIVATE_DIR: u32 = 0o750;

/// The directory below which pods have their volumes (the kubelet's `/var/lib/kubelet`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRoot {
    dir: PathBuf,
}

/// A name that can't be one segment of a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name of a file")]
pub struct InvalidName(pub String);

impl VolumeRoot {
    /// Makes `dir` and its `pods` directory where they are missing (mode 0750) and resolves links in the way to them,
    /// because the kernel lists mounts by their real paths.
    pub fn prepare(dir: &Path) -> Result<Self, PathError> {
        make_private_dirs(&dir.join("pods")).at("make directory", dir)?;
        Ok(Self { dir: fs::canonicalize(dir).at("resolve", dir)? })
    }

    /// The layout below `dir`, for those who only ask where things will lie.
    pub fn of_layout(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Lets mounts that a container makes with `Bidirectional` propagation reach the host and other containers, as the
    /// kubelet does with its root directory. Where the root lies on a private mount it is bound onto itself; that mount
    /// outlives the agent, because the pods do.
    ///
    /// # Errors
    /// The kernel refuses, or something is mounted below a root that would have to be bound.
    pub fn make_shared(&self) -> Result<(), PathError> {
        let mount = mounts::containing(&self.dir).at("find the mount of", &self.dir)?;
        if mount.as_ref().is_some_and(|mount| mount.shared) {
            return Ok(());
        }
        if mount.is_none_or(|mount| mount.point != self.dir) {
            // The root would hide the volumes of pods that run, if an agent has set them up that could not do this.
            if !mounts::at_or_beneath(&self.dir).at("list the mounts below", &self.dir)?.is_empty() {
                return Err(Errno::EBUSY).at("bind onto itself, over the mounts below it,", &self.dir);
            }
            mounts::bind(&self.dir, &self.dir).at("bind onto itself", &self.dir)?;
        }
        mounts::make_shared(&self.dir).at("make shared the mount", &self.dir)
    }

    /// The root directory itself, links resolved.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `pods/`: one directory a pod.
    pub fn pods_dir(&self) -> PathBuf {
        self.dir.join("pods")
    }

    /// `pods/<uid>`
    pub fn pod_dir(&self, uid: &str) -> Result<PathBuf, InvalidName> {
        Ok(self.pods_dir().join(segment(uid)?))
    }

    /// Where an emptyDir's files lie.
    ///
    /// # Errors
    /// When a name can't be one of a directory.
    pub fn empty_dir(&self, uid: &str, volume: &str) -> Result<PathBuf, InvalidName> {
        self.volume_dir(uid, Plugin::EmptyDir, volume)
    }

    /// `pods/<uid>/volumes/<plugin>/<volume>`
    pub(super) fn volume_dir(&self, uid: &str, plugin: Plugin, volume: &str) -> Result<PathBuf, InvalidName> {
        Ok(self.pod_dir(uid)?.join("volumes").join(plugin.dir_name()).join(segment(volume)?))
    }

    /// The directory whose `ready` file says that an emptyDir has been initialised. Other kinds wrap an emptyDir.
    pub(super) fn ready_dir(&self, uid: &str, plugin: Plugin, volume: &str) -> Result<PathBuf, InvalidName> {
        let volume = segment(volume)?;
        let name = if plugin == Plugin::EmptyDir { volume.to_owned() } else { format!("wrapped_{volume}") };
        Ok(self.pod_dir(uid)?.join("plugins").join(Plugin::EmptyDir.dir_name()).join(name))
    }

    /// `pods/<uid>/volume-subpaths`: bind mounts of subPaths, as `<volume>/<container>/<index>`.
    pub(super) fn sub_paths_dir(&self, uid: &str) -> Result<PathBuf, InvalidName> {
        Ok(self.pod_dir(uid)?.join("volume-subpaths"))
    }

    /// `pods/<uid>/containers/<container>`: termination logs.
    pub(super) fn container_dir(&self, uid: &str, container: &str) -> Result<PathBuf, InvalidName> {
        Ok(self.pod_dir(uid)?.join("containers").join(segment(container)?))
    }
}

/// The volume plugins that have a directory, under the kubelet's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plugin {
    EmptyDir,
    ConfigMap,
    Secret,
    DownwardApi,
    Projected,
}

impl Plugin {
    pub(super) const ALL: [Plugin; 5] =
        [Plugin::EmptyDir, Plugin::ConfigMap, Plugin::Secret, Plugin::DownwardApi, Plugin::Projected];

    /// The plugin's name, its `/` written as `~`.
    pub(super) const fn dir_name(self) -> &'static str {
        match self {
            Plugin::EmptyDir => "kubernetes.io~empty-dir",
            Plugin::ConfigMap => "kubernetes.io~configmap",
            Plugin::Secret => "kubernetes.io~secret",
            Plugin::DownwardApi => "kubernetes.io~downward-api",
            Plugin::Projected => "kubernetes.io~projected",
        }
    }
}

/// Makes a directory and its missing parents with mode 0750.
pub(super) fn make_private_dirs(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(dir)
}

/// Sets a mode as given, whatever the umask.
pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The name, if it can be exactly one segment of a path.
pub(super) fn segment(name: &str) -> Result<&str, InvalidName> {
    let bad =
        name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) || name.len() > 255;
    if bad { Err(InvalidName(name.to_owned())) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_one_segment_become_paths() {
        let root = VolumeRoot { dir: PathBuf::from("/r") };
        assert_eq!(root.pod_dir("u-1"), Ok(PathBuf::from("/r/pods/u-1")));
        for bad in ["", ".", "..", "a/b", "/", "../x", "a\0b", &"x".repeat(256)] {
            assert_eq!(root.pod_dir(bad), Err(InvalidName(bad.to_owned())));
            assert!(root.volume_dir("u", Plugin::Secret, bad).is_err());
            assert!(root.container_dir("u", bad).is_err());
        }
    }

    #[test]
    fn the_layout_is_the_kubelets() {
        let root = VolumeRoot { dir: PathBuf::from("/r") };
        let dir = root.volume_dir("u", Plugin::DownwardApi, "v").unwrap();
        assert_eq!(dir, Path::new("/r/pods/u/volumes/kubernetes.io~downward-api/v"));
        let wrapped = root.ready_dir("u", Plugin::Secret, "v").unwrap();
        assert_eq!(wrapped, Path::new("/r/pods/u/plugins/kubernetes.io~empty-dir/wrapped_v"));
        let own = root.ready_dir("u", Plugin::EmptyDir, "v").unwrap();
        assert_eq!(own, Path::new("/r/pods/u/plugins/kubernetes.io~empty-dir/v"));
    }
}
