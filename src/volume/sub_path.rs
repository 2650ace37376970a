//! `subPath`: one file or directory of a volume, bound to a place that containers can't touch.
//!
//! The runtime is handed the bind mount, never the path inside the volume, because a container that shares the volume could
//! swap a link in between the check and the use. Rule: `pkg/volume/util/subpath/subpath_linux.go`.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};

use super::beneath::{self, Way};
use super::error::{At, PathError};
use super::layout::{InvalidName, PRIVATE_DIR, VolumeRoot, make_private_dirs, segment};
use super::mounts;
use super::set_up::MountSource;

/// A mount with a subPath.
#[derive(Debug, Clone, Copy)]
pub struct SubPathRequest<'a> {
    /// The pod's UID.
    pub uid: &'a str,
    /// The container's name.
    pub container: &'a str,
    /// The mount's place in the container's `volumeMounts`, from 0.
    pub index: usize,
    /// The volume's name.
    pub volume: &'a str,
    /// What the volume was set up as.
    pub source: &'a MountSource,
    /// `subPath`, or `subPathExpr` with the container's environment filled in.
    pub sub_path: &'a str,
}

/// Why a subPath can't be mounted. What the host looks like is in the sources, for the log, not in the messages, which
/// users of the pod read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum SubPathError {
    #[error("error SubPath `{0}` must not be an absolute path")]
    Absolute(String),
    #[error("unable to provision SubPath `{0}`: must not contain '..'")]
    Backstep(String),
    #[error("failed to create subPath directory for volumeMount {volume:?} of container {container:?}")]
    Create { volume: String, container: String, source: PathError },
    #[error("failed to prepare subPath for volumeMount {volume:?} of container {container:?}")]
    Prepare { volume: String, container: String, source: PathError },
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// The place below the pod's `volume-subpaths` that is handed to the runtime.
///
/// # Errors
/// A name is not one segment of a path.
pub fn sub_path_place(root: &VolumeRoot, request: &SubPathRequest<'_>) -> Result<PathBuf, InvalidName> {
    let SubPathRequest { uid, container, index, volume, .. } = *request;
    Ok(root.sub_paths_dir(uid)?.join(segment(volume)?).join(segment(container)?).join(index.to_string()))
}

/// Makes the subPath where it is missing, binds it below the pod's `volume-subpaths` and returns that place.
///
/// Called again (a container restarts), it binds what the path means now: a directory that was replaced, the newest
/// contents of a configMap.
pub fn prepare_sub_path(root: &VolumeRoot, request: &SubPathRequest<'_>) -> Result<PathBuf, SubPathError> {
    let SubPathRequest { container, volume, source, sub_path, .. } = *request;
    let path = check(sub_path)?;
    let target = sub_path_place(root, request)?;
    let create = |source| SubPathError::Create { volume: volume.into(), container: container.into(), source };
    let prepare =
        |source| SubPathError::Prepare { volume: volume.into(), container: container.into(), source };

    let base = &source.host_path;
    let full = base.join(&path);
    let volume_dir = beneath::open_dir(base).at("open", base).map_err(prepare)?;
    let opened = match resolve(&volume_dir, base, &path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let metadata = fs::metadata(base).at("read the mode of", base).map_err(create)?;
            let mode = metadata.permissions().mode() & 0o7777;
            make_dirs(&volume_dir, base, &path, mode).at("make directory", &full).map_err(create)?;
            resolve(&volume_dir, base, &path)
        }
        other => other,
    };
    let opened = opened.at("open", &full).map_err(prepare)?;
    bind(&opened, &target).map_err(prepare)?;
    Ok(target)
}

/// The path without `.` segments, if it is relative and goes down only.
fn check(sub_path: &str) -> Result<PathBuf, SubPathError> {
    let path = Path::new(sub_path);
    if path.is_absolute() {
        return Err(SubPathError::Absolute(sub_path.to_owned()));
    }
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(SubPathError::Backstep(sub_path.to_owned()));
    }
    let cleaned: PathBuf = path.components().filter(|component| *component != Component::CurDir).collect();
    Ok(if cleaned.as_os_str().is_empty() { PathBuf::from(".") } else { cleaned })
}

/// Opens what `path` means inside the volume, links included as long as they stay inside.
fn resolve(volume: &OwnedFd, base: &Path, path: &Path) -> io::Result<OwnedFd> {
    match beneath::open(volume, path, OFlag::O_PATH, Way::Links) {
        // An absolute link may still point into the volume, and kernels without openat2 refuse every link.
        Err(Errno::EXDEV | Errno::ELOOP) => {}
        other => return Ok(other?),
    }
    let inside = fs::canonicalize(base.join(path))?;
    let base = fs::canonicalize(base)?;
    let Ok(relative) = inside.strip_prefix(&base) else {
        let text = format!("path {} is outside of allowed base {}", inside.display(), base.display());
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    };
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    match beneath::open(volume, relative, OFlag::O_PATH, Way::NoLinks) {
        Err(Errno::ELOOP) => {
            let text = format!("unexpected symlink found {}", inside.display());
            Err(io::Error::new(ErrorKind::PermissionDenied, text))
        }
        other => Ok(other?),
    }
}

/// Makes the directories of `path` that are missing inside the volume, each with `mode` whatever the umask.
pub(super) fn make_dirs(volume: &OwnedFd, base: &Path, path: &Path, mode: u32) -> io::Result<()> {
    let mut parent = volume.try_clone()?;
    let mut reached = PathBuf::new();
    for component in path.components() {
        reached.push(component);
        parent = match resolve(volume, base, &reached) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_dir(&parent, component.as_os_str(), mode)?
            }
            other => other?,
        };
    }
    Ok(())
}

fn make_dir(parent: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<OwnedFd> {
    let created = match mkdirat(parent, name, Mode::from_bits_truncate(mode)) {
        Ok(()) => true,
        // Somebody was faster: then its mode is theirs to choose.
        Err(Errno::EEXIST) => false,
        Err(error) => return Err(error.into()),
    };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let opened = openat(parent, name, flags, Mode::empty())?;
    if created {
        beneath::set_mode(&opened, mode)?;
    }
    Ok(opened)
}

/// Binds an open file or directory to `target`, unless that shows it already.
fn bind(opened: &OwnedFd, target: &Path) -> Result<(), PathError> {
    let wanted = fstat(opened).at("look at", target)?;
    while mounts::at(target).at("list the mounts at", target)?.is_some() {
        let shown = fs::metadata(target).at("look at", target)?;
        if (shown.dev(), shown.ino()) == (wanted.st_dev, wanted.st_ino) {
            return Ok(());
        }
        mounts::unmount_bind(target).at("unmount", target)?;
    }
    make_target(target, beneath::is_kind(&wanted, SFlag::S_IFDIR)).at("make", target)?;
    mounts::bind(&mounts::proc_path(opened), target).at("bind the subPath to", target)
}

/// Makes an empty directory or file to mount on. What an earlier mount of another kind left gives way.
fn make_target(target: &Path, is_dir: bool) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        make_private_dirs(parent)?;
    }
    match fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() == is_dir && !metadata.is_symlink() => return Ok(()),
        // Only ever empty: rmdir refuses anything else.
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(target)?,
        Ok(_) => fs::remove_file(target)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if is_dir {
        DirBuilder::new().mode(PRIVATE_DIR).create(target)
    } else {
        OpenOptions::new().write(true).create_new(true).mode(0o640).open(target).map(drop)
    }
}
