//! `fsGroup`: the group that owns a volume's files and what it may do with them.
//!
//! Names are listed by path, but each change goes to a file that was opened beneath the volume without following links: a
//! link that a container plants can't pass the group on to a file of the host. Rule: `pkg/volume/volume_linux.go`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::unistd::{Gid, fchownat};

use super::beneath::{self, Way};
use super::error::{At, PathError};

/// What the group may do with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    Read,
}

/// The bits that are added to a file's mode.
const fn added_bits(access: Access, is_dir: bool) -> u32 {
    let files = match access {
        Access::ReadWrite => 0o660,
        Access::Read => 0o440,
    };
    if is_dir { files | 0o2110 } else { files }
}

/// Gives the whole tree, `dir` included, to the group, children before parents.
pub(super) fn apply(dir: &Path, group: u32, access: Access) -> Result<(), PathError> {
    let root = beneath::open_dir(dir).at("open", dir)?;
    for path in children_first(dir)? {
        let full = dir.join(&path);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        // The last component may be a link, which O_PATH opens as such; those before it may not.
        let parent = match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => beneath::open(&root, parent, OFlag::O_PATH | OFlag::O_DIRECTORY, Way::NoLinks),
            None => beneath::open(&root, Path::new("."), OFlag::O_PATH | OFlag::O_DIRECTORY, Way::NoLinks),
        };
        let name = path.file_name().map_or(Path::new("."), Path::new);
        let file =
            parent.and_then(|parent| nix::fcntl::openat(parent, name, flags, nix::sys::stat::Mode::empty()));
        let file = match file {
            Err(Errno::ENOENT) => continue,
            other => other.at("open", &full)?,
        };
        fchownat(&file, "", None, Some(Gid::from_raw(group)), AtFlags::AT_EMPTY_PATH)
            .at("change the group of", &full)?;
        let metadata =
            beneath::metadata(file.try_clone().at("open", &full)?).at("read the mode of", &full)?;
        if !metadata.is_symlink() {
            let mode = metadata.permissions().mode() & 0o7777 | added_bits(access, metadata.is_dir());
            beneath::set_mode(&file, mode).at("change the mode of", &full)?;
        }
    }
    Ok(())
}

/// Everything below `dir` relative to it, then `.` for itself.
fn children_first(dir: &Path) -> Result<Vec<PathBuf>, PathError> {
    let mut found = vec![PathBuf::from(".")];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        let full = dir.join(&path);
        if !fs::symlink_metadata(&full).is_ok_and(|metadata| metadata.is_dir()) {
            continue;
        }
        for entry in fs::read_dir(&full).at("list", &full)? {
            let name = entry.at("list", &full)?.file_name();
            found.push(if path == Path::new(".") { PathBuf::from(name) } else { path.join(name) });
        }
    }
    found.reverse();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;
    use crate::volume::layout::set_mode;

    #[test]
    fn the_group_gets_the_tree_but_not_what_links_point_at() {
        let temp = tempfile::tempdir().unwrap();
        let outside = temp.path().join("outside");
        fs::write(&outside, "").unwrap();
        set_mode(&outside, 0o600).unwrap();
        for (access, dir_mode, file_mode) in
            [(Access::ReadWrite, 0o2770, 0o660), (Access::Read, 0o2750, 0o640)]
        {
            let dir = temp.path().join(format!("{access:?}"));
            fs::create_dir_all(dir.join("sub")).unwrap();
            fs::write(dir.join("sub/file"), "").unwrap();
            symlink(&outside, dir.join("sub/link")).unwrap();
            for (path, mode) in [("", 0o700), ("sub", 0o700), ("sub/file", 0o600)] {
                set_mode(&dir.join(path), mode).unwrap();
            }
            apply(&dir, 4321, access).unwrap();
            for (path, mode) in [("", dir_mode), ("sub", dir_mode), ("sub/file", file_mode)] {
                let metadata = fs::symlink_metadata(dir.join(path)).unwrap();
                assert_eq!((metadata.gid(), metadata.mode() & 0o7777), (4321, mode), "{access:?} {path}");
            }
            assert_eq!(fs::symlink_metadata(dir.join("sub/link")).unwrap().gid(), 4321);
            let metadata = fs::metadata(&outside).unwrap();
            assert_eq!((metadata.gid(), metadata.mode() & 0o7777), (0, 0o600));
        }
    }
}
