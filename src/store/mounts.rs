//! Tells when something is mounted or unmounted where the store is: inotify doesn't say so.
//!
//! The kernel marks `/proc/self/mountinfo` as urgent when the table changes (proc(5)); reading it never touches a file system.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const TABLE: &str = "/proc/self/mountinfo";

/// The mounts on the way to and beneath the store.
pub(super) struct Mounts {
    table: AsyncFd<File>,
    roots: Vec<Vec<u8>>,
    relevant: Vec<u8>,
}

impl Mounts {
    /// Opens the table. Must be called in a tokio runtime.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, which is forbidden here; the descriptor is ours and open as long as this lives"
    )]
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let table = AsyncFd::with_interest(File::open(TABLE)?, Interest::PRIORITY)?;
        let mut mounts = Mounts { table, roots: Vec::new(), relevant: Vec::new() };
        mounts.also(root);
        Ok(mounts)
    }

    /// Counts mounts at this path, too.
    pub(super) fn also(&mut self, root: &Path) {
        let root = escape(root);
        if !self.roots.contains(&root) {
            self.roots.push(root);
            self.relevant = self.read();
        }
    }

    /// Waits for a change. Cancel safe.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        loop {
            self.table.ready(Interest::PRIORITY).await?.clear_ready();
            let relevant = self.read();
            if relevant != self.relevant {
                self.relevant = relevant;
                return Ok(());
            }
        }
    }

    fn read(&self) -> Vec<u8> {
        let table = fs::read(TABLE).unwrap_or_default();
        let lines = table.split(|byte| *byte == b'\n');
        let ours = |line: &&[u8]| {
            let point = line.split(|byte| *byte == b' ').nth(4).unwrap_or_default();
            self.roots.iter().any(|root| beneath(root, point) || beneath(point, root))
        };
        lines.filter(ours).collect::<Vec<_>>().join(&b'\n')
    }
}

fn beneath(above: &[u8], path: &[u8]) -> bool {
    above == b"/" || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Paths as the table writes them.
fn escape(path: &Path) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").bytes()),
            _ => escaped.push(*byte),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_above_and_beneath_the_store_matter_and_those_beside_it_do_not() {
        for (one, other, expected) in [
            ("/", "/etc/store", true),
            ("/etc", "/etc/store", true),
            ("/etc/store", "/etc/store", true),
            ("/etc/store", "/etc/store/deep", true),
            ("/etc/store", "/etc/store2", false),
            ("/etc/store/deep", "/etc/store", false),
        ] {
            assert_eq!(beneath(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
        }
    }

    #[test]
    fn paths_are_written_as_the_table_writes_them() {
        assert_eq!(escape(Path::new("/a b\\c")), b"/a\\040b\\134c");
    }
}
