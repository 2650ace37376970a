//! The mounts of this process: which there are below a directory, and making and undoing them.
//!
//! A bind mount is made private before it is undone: detaching a shared one would take mounts of the host along.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// The kind of file system (`tmpfs`).
    pub(super) fs_type: String,
    /// The file system's own options (`rw,pagesize=2M`).
    pub(super) options: String,
    /// Whether mounts below it appear elsewhere too.
    pub(super) shared: bool,
}

/// The mounts at `dir` and below it, in the order in which they were made. `dir` has no links in it.
pub(super) fn at_or_beneath(dir: &Path) -> io::Result<Vec<Mount>> {
    those(|mount| mount.point.starts_with(dir))
}

/// What is mounted exactly at `dir`, the topmost if several are.
pub(super) fn at(dir: &Path) -> io::Result<Option<Mount>> {
    Ok(those(|mount| mount.point == dir)?.pop())
}

/// The mount that `path` lies on. `path` has no links in it.
pub(super) fn containing(path: &Path) -> io::Result<Option<Mount>> {
    let on_the_way = those(|mount| path.starts_with(&mount.point))?;
    Ok(on_the_way.into_iter().max_by_key(|mount| mount.point.as_os_str().len()))
}

fn those(wanted: impl Fn(&Mount) -> bool) -> io::Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for line in BufReader::new(File::open("/proc/self/mountinfo")?).split(b'\n') {
        mounts.extend(parse(&line?).filter(&wanted));
    }
    Ok(mounts)
}

/// Mounts a file system that has no device.
pub(super) fn mount_virtual(source: &str, fs_type: &str, dir: &Path, options: &str) -> nix::Result<()> {
    mount(Some(source), dir, Some(fs_type), MsFlags::empty(), Some(options))
}

/// Shows the file or directory behind `source` at `target`, without what is mounted below it.
pub(super) fn bind(source: &Path, target: &Path) -> nix::Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
}

/// Lets mounts made below `dir`, itself a mount, appear in the mount namespaces made from this one.
pub(super) fn make_shared(dir: &Path) -> nix::Result<()> {
    mount(None::<&str>, dir, None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>)
}

/// Undoes a mount that nobody uses.
pub(super) fn unmount(point: &Path) -> nix::Result<()> {
    umount2(point, MntFlags::UMOUNT_NOFOLLOW)
}

/// Undoes a bind mount, in use or not: what it shows lives on at its source.
pub(super) fn unmount_bind(point: &Path) -> nix::Result<()> {
    let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(None::<&str>, point, None::<&str>, private, None::<&str>)?;
    match unmount(point) {
        Err(Errno::EBUSY) => umount2(point, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH),
        other => other,
    }
}

/// Reads a line: `id parent dev root point options [tag…] - type source options`.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = unescape(fields.nth(4)?);
    let shared =
        fields.by_ref().take_while(|field| *field != b"-").any(|field| field.starts_with(b"shared:"));
    // `any` stops at the first hit: the rest up to the dash is still to be passed.
    if shared {
        fields.by_ref().find(|field| *field == b"-")?;
    }
    let fs_type = String::from_utf8_lossy(fields.next()?).into_owned();
    let options = String::from_utf8_lossy(fields.nth(1)?).into_owned();
    Some(Mount { point: PathBuf::from(point), fs_type, options, shared })
}

/// Undoes the kernel's `\040` for spaces, tabs, newlines and backslashes.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal =
            tail.get(..3).filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(digits) = octal {
            bytes.push(
                digits.iter().fold(0u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')),
            );
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    OsString::from_vec(bytes)
}

/// The path of an open file in `/proc`: the kernel resolves it to the file itself, wherever that is now.
pub(super) fn proc_path(fd: &impl std::os::fd::AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Whether `path` lies exactly `depth` segments below `dir`.
pub(super) fn is_below_by(depth: usize, dir: &Path, path: &Path) -> bool {
    path.strip_prefix(dir).is_ok_and(|rest| rest.components().count() == depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_lines_are_read() {
        let plain = b"36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw,errors=continue";
        let shared = br"37 35 0:5 / /a\040b\134\011c rw shared:1 master:2 - tmpfs tmpfs rw,size=4k";
        let mount = |point: &str, fs_type: &str, options: &str, shared| Mount {
            point: PathBuf::from(point),
            fs_type: fs_type.to_owned(),
            options: options.to_owned(),
            shared,
        };
        assert_eq!(parse(plain), Some(mount("/mnt2", "ext3", "rw,errors=continue", false)));
        assert_eq!(parse(shared), Some(mount("/a b\\\tc", "tmpfs", "rw,size=4k", true)));
        for broken in [&b""[..], b"36 35", b"36 35 98:0 / /x rw", b"36 35 98:0 / /x rw - ext4"] {
            assert_eq!(parse(broken), None);
        }
    }

    #[test]
    fn depth_is_counted_in_segments() {
        let parent = Path::new("/r/v");
        assert!(is_below_by(2, parent, Path::new("/r/v/a/b")));
        for other in ["/r/v", "/r/v/a", "/r/v/a/b/c", "/r/vv/a/b"] {
            assert!(!is_below_by(2, parent, Path::new(other)), "{other}");
        }
    }

    #[test]
    fn the_mounts_of_this_process_are_listed() {
        let mounts = at_or_beneath(Path::new("/proc")).unwrap();
        assert!(mounts.iter().any(|mount| mount.point == Path::new("/proc") && mount.fs_type == "proc"));
        assert_eq!(containing(Path::new("/proc/self/x")).unwrap().unwrap().point, Path::new("/proc"));
    }
}
