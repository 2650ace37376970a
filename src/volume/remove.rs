//! Removes a directory with all that is in it, and nothing else.
//!
//! Containers fill these trees, so: no link is followed, no mount is entered, and a tree of any depth takes a bounded
//! number of open files and no recursion. Every step is relative to an open directory.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, renameat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::beneath::{self, Way};
use super::error::{At, PathError};
use super::mounts::proc_path;

/// How many directories are open at once. A deeper tree is cut: its lower part is first moved to the top.
const MAX_OPEN: usize = 32;

/// Why a tree is still there, or part of it.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Something is mounted there; what it shows was not touched.
    #[error("{} is a mount point", .0.display())]
    Mounted(PathBuf),
    /// The kernel refused.
    #[error(transparent)]
    Io(#[from] PathError),
}

/// An open directory on the way down.
struct Level {
    name: OsString,
    dir: OwnedFd,
}

/// Removes `parent/name`; it may be missing already. A link there is refused, not followed, and a mount stops it.
pub fn remove_dir(parent: &Path, name: &OsStr) -> Result<(), RemoveError> {
    let top = parent.join(name);
    let parent_dir = beneath::open_dir(parent).at("open", parent)?;
    let Some(dir) = open_child(&parent_dir, name, &top)? else { return Ok(()) };
    let mut levels = vec![Level { name: name.to_owned(), dir }];
    let mut moved: u64 = 0;
    while let Some(level) = levels.last() {
        let path = || levels.iter().fold(parent.to_owned(), |path, level| path.join(&level.name));
        let Some(child) = remove_files(level, &path)? else {
            // Empty now: remove it from the directory above.
            let full = path();
            let Some(Level { name, dir }) = levels.pop() else { break };
            drop(dir);
            let above = levels.last().map_or(parent_dir.as_fd(), |level| level.dir.as_fd());
            match unlinkat(above, name.as_os_str(), UnlinkatFlags::RemoveDir) {
                // Somebody put something in meanwhile. Anything but the top is met again when the parent is listed.
                Err(Errno::ENOTEMPTY | Errno::EEXIST) if !levels.is_empty() => {}
                other => gone(other, &full)?,
            }
            continue;
        };
        let full = path().join(&child);
        if levels.len() >= MAX_OPEN {
            let Some(first) = levels.first() else { break };
            move_to_top(level, &child, first, &mut moved).at("move", &full)?;
            continue;
        }
        if let Some(dir) = open_child(&level.dir, &child, &full)? {
            levels.push(Level { name: child, dir });
        }
    }
    Ok(())
}

/// Removes what isn't a directory, and empty directories; returns the first directory that isn't empty.
fn remove_files(level: &Level, path: &impl Fn() -> PathBuf) -> Result<Option<OsString>, RemoveError> {
    let listing = std::fs::read_dir(proc_path(&level.dir)).at("list", &path())?;
    for entry in listing {
        let name = entry.at("list", &path())?.file_name();
        match unlinkat(&level.dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR) => {}
            other => {
                gone(other, &path().join(&name))?;
                continue;
            }
        }
        match unlinkat(&level.dir, name.as_os_str(), UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => return Ok(Some(name)),
            other => gone(other, &path().join(&name))?,
        }
    }
    Ok(None)
}

/// Opens a directory to empty it; `None` if it is gone.
fn open_child(parent: &OwnedFd, name: &OsStr, full: &Path) -> Result<Option<OwnedFd>, RemoveError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    match beneath::open(parent, Path::new(name), flags, Way::SameMount) {
        Ok(dir) => Ok(Some(dir)),
        Err(Errno::ENOENT) => Ok(None),
        Err(Errno::EXDEV) => Err(RemoveError::Mounted(full.to_owned())),
        Err(error) => Ok(Err(error).at("open", full)?),
    }
}

/// Moves a directory into the first one under a name that is free.
fn move_to_top(from: &Level, child: &OsStr, first: &Level, moved: &mut u64) -> nix::Result<()> {
    loop {
        *moved += 1;
        let name = format!(".removed-{moved}");
        match renameat(&from.dir, child, &first.dir, name.as_str()) {
            Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
            other => return other,
        }
    }
}

/// The outcome of removing one entry: that it was gone already is as good.
fn gone(outcome: nix::Result<()>, path: &Path) -> Result<(), RemoveError> {
    match outcome {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EBUSY) => Err(RemoveError::Mounted(path.to_owned())),
        Err(error) => Ok(Err(error).at("remove", path)?),
    }
}
