//! Opening a path that can't lead out of a directory: the kernel resolves it (`openat2`, Linux 5.6), one component after
//! the other where the kernel has no such call.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

/// What may be met on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Links that stay beneath the directory, and mounts.
    Links,
    /// Mounts, but no link (`ELOOP`), not even as the last component.
    NoLinks,
    /// No link (`ELOOP`) and no mount (`EXDEV`): only this file system, this mount.
    SameMount,
}

/// How often a look-up is tried again that a rename elsewhere on the machine disturbed.
const TRIES: usize = 16;

/// Opens the directory that everything is to lie beneath; links on the way to it are followed.
pub(super) fn open_dir(path: &Path) -> nix::Result<OwnedFd> {
    nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens `path` beneath `dir`. `EXDEV` means that the path, or a link on it, leads out.
pub(super) fn open(dir: &impl AsFd, path: &Path, flags: OFlag, way: Way) -> nix::Result<OwnedFd> {
    let resolve = match way {
        Way::Links => ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS,
        Way::NoLinks => ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS,
        Way::SameMount => {
            ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV
        }
    };
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    for _ in 0..TRIES {
        match openat2(dir, path, how) {
            // A rename or mount anywhere while `..` was resolved: the kernel couldn't tell whether it stayed beneath.
            Err(Errno::EAGAIN) => {}
            Err(Errno::ENOSYS) => return walk(dir, path, flags, way),
            other => return other,
        }
    }
    Err(Errno::EAGAIN)
}

/// The same without `openat2`: no component may be a link or `..`, whatever the way.
fn walk(dir: &impl AsFd, path: &Path, flags: OFlag, way: Way) -> nix::Result<OwnedFd> {
    let mount = if way == Way::SameMount { Some(mount_id(dir)?) } else { None };
    let mut current: Option<OwnedFd> = None;
    let mut components = path.components().filter(|component| *component != Component::CurDir).peekable();
    while let Some(component) = components.next() {
        let Component::Normal(name) = component else { return Err(Errno::EXDEV) };
        let parent = current.as_ref().map_or(dir.as_fd(), AsFd::as_fd);
        let last = components.peek().is_none();
        let found = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if is_kind(&found, SFlag::S_IFLNK) {
            return Err(Errno::ELOOP);
        }
        let flags = if last { flags } else { OFlag::O_PATH | OFlag::O_DIRECTORY };
        let opened = openat(parent, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
        let stat = fstat(&opened)?;
        if is_kind(&stat, SFlag::S_IFLNK) {
            return Err(Errno::ELOOP);
        }
        if mount.is_some() && mount != Some(mount_id(&opened)?) {
            return Err(Errno::EXDEV);
        }
        current = Some(opened);
    }
    match current {
        Some(opened) => Ok(opened),
        None => openat(dir, ".", flags | OFlag::O_CLOEXEC, Mode::empty()),
    }
}

/// The mount that an open file was reached through: bind mounts of one file system differ in it.
fn mount_id(fd: &impl AsFd) -> nix::Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or(Errno::ENOTSUP)
}

/// Whether a file is of this kind.
pub(super) fn is_kind(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}

/// Sets the permission bits of an open file, also of one opened with `O_PATH`.
pub(super) fn set_mode(fd: &OwnedFd, mode: u32) -> std::io::Result<()> {
    super::layout::set_mode(&super::mounts::proc_path(fd), mode)
}

/// A file that `O_PATH` opened, as `std` has it: good for its metadata.
pub(super) fn metadata(fd: OwnedFd) -> std::io::Result<std::fs::Metadata> {
    File::from(fd).metadata()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::volume::mounts;

    type Open = fn(&OwnedFd, &Path, OFlag, Way) -> nix::Result<OwnedFd>;

    #[test]
    fn nothing_leads_out_with_or_without_openat2() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("volume");
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(temp.path().join("outside"), "x").unwrap();
        for (target, link) in [
            ("/", "root"),
            ("..", "up"),
            ("a", "inside"),
            ("../outside", "file"),
            ("/proc/self/root", "magic"),
        ] {
            symlink(target, dir.join(link)).unwrap();
        }
        let dir = open_dir(&dir).unwrap();
        let ways: [(Open, &str); 2] = [(open, "openat2"), (walk, "walk")];
        for (open, name) in ways {
            let try_open = |path: &str, way| open(&dir, Path::new(path), OFlag::O_PATH, way).map(drop);
            for path in ["a", "a/b", "./a/./b", "."] {
                assert_eq!(try_open(path, Way::NoLinks), Ok(()), "{name} {path}");
            }
            for path in [
                "/",
                "/etc",
                "..",
                "a/../../outside",
                "root",
                "root/etc",
                "up",
                "up/outside",
                "file",
                "magic/etc",
            ] {
                for way in [Way::Links, Way::NoLinks, Way::SameMount] {
                    let refused = try_open(path, way).unwrap_err();
                    assert!(
                        matches!(refused, Errno::EXDEV | Errno::ELOOP),
                        "{name} {path} {way:?}: {refused}"
                    );
                }
            }
            assert_eq!(try_open("inside", Way::NoLinks), Err(Errno::ELOOP), "{name}");
            assert_eq!(try_open("missing", Way::NoLinks), Err(Errno::ENOENT), "{name}");
        }
        assert!(open(&dir, Path::new("inside/b"), OFlag::O_PATH, Way::Links).is_ok());
    }
    #[test]
    fn a_bind_mount_of_the_same_file_system_is_another_mount() {
        struct Bound(PathBuf);
        impl Drop for Bound {
            fn drop(&mut self) {
                let _ = mounts::unmount_bind(&self.0);
            }
        }
        let temp = tempfile::tempdir().unwrap();
        for name in ["source", "volume/point", "volume/plain"] {
            fs::create_dir_all(temp.path().join(name)).unwrap();
        }
        let bound = Bound(temp.path().join("volume/point"));
        mounts::bind(&temp.path().join("source"), &bound.0).unwrap();
        let dir = open_dir(&temp.path().join("volume")).unwrap();
        let ways: [(Open, &str); 2] = [(open, "openat2"), (walk, "walk")];
        for (open, name) in ways {
            for (path, way, outcome) in [
                ("plain", Way::SameMount, Ok(())),
                ("point", Way::SameMount, Err(Errno::EXDEV)),
                ("point", Way::NoLinks, Ok(())),
                ("point", Way::Links, Ok(())),
            ] {
                let opened = open(&dir, Path::new(path), OFlag::O_PATH, way).map(drop);
                assert_eq!(opened, outcome, "{name} {path} {way:?}");
            }
        }
    }
}
