//! What a test alone may use of the machine: a number of its own, and all names made from it.
//!
//! A number is claimed by locking a file, so it is free again whenever its test ends, however it ends.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::leaks;

/// Sockets' paths must be short, so this is not below `target`.
const ROOT: &str = "/tmp/daemonlet-test";
/// By this variable the processes of a test are found again.
pub(super) const MARK: &str = "TEST_OF_DAEMONLET";
const FIRST_PORT: u16 = 21_000;
const PORTS: u16 = 32;

/// A test's share of the machine.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u8,
    dir: PathBuf,
    _lock: File,
}

impl Slot {
    /// Takes a free slot and removes what an earlier test may have left in it.
    pub(crate) fn claim() -> Self {
        let (number, lock) = (0..=u8::MAX)
            .find_map(|number| Some((number, lock(&lock_file(number))?)))
            .unwrap_or_else(|| panic!("256 tests run at once on this machine: no slot is free"));
        let slot = Self { number, dir: format!("{ROOT}/{number}").into(), _lock: lock };
        leaks::reap(&slot);
        let left = leaks::find(&slot);
        assert!(left.is_empty(), "an earlier test left what can't be removed: {left:#?}");
        fs::create_dir_all(&slot.dir).unwrap();
        slot
    }

    /// The directory that everything of the test is in.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The cgroup that everything of the test is in, as a path from the root of each hierarchy.
    pub(crate) fn cgroup(&self) -> String {
        format!("/{}", self.network())
    }

    /// The name of the CNI network.
    pub(crate) fn network(&self) -> String {
        format!("daemonlet-test-{}", self.number)
    }

    /// The name of the bridge.
    pub(crate) fn bridge(&self) -> String {
        format!("dltest{}", self.number)
    }

    /// The first three numbers of the pods' addresses, out of a network that is set aside for benchmarks.
    pub(crate) fn subnet(&self) -> String {
        format!("198.19.{}", self.number)
    }

    /// The node's name.
    pub(crate) fn node_name(&self) -> String {
        format!("node-{}", self.number)
    }

    /// A port of the host that no other test uses; `index` is below 32.
    pub(crate) fn port(&self, index: u16) -> u16 {
        assert!(index < PORTS);
        FIRST_PORT + u16::from(self.number) * PORTS + index
    }

    /// A command whose processes are known as the test's.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env(MARK, &self.dir).env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"));
        command
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Still locked, so that nobody takes it between the two.
        let _ = fs::remove_file(lock_file(self.number));
        // The last one out.
        let _ = fs::remove_dir(ROOT);
    }
}

fn lock_file(number: u8) -> PathBuf {
    format!("{ROOT}/{number}.lock").into()
}

/// Locks a file, unless another test has it.
fn lock(path: &Path) -> Option<File> {
    loop {
        fs::create_dir_all(ROOT).unwrap();
        let file = match File::create(path) {
            Ok(file) => file,
            // The last one out has removed the directory.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => panic!("create {}: {error}", path.display()),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return None,
            Err(TryLockError::Error(error)) => panic!("lock {}: {error}", path.display()),
        }
        // One that was removed meanwhile is nobody's any more.
        let of_path = fs::metadata(path).map(|found| found.ino());
        if of_path.is_ok_and(|found| file.metadata().is_ok_and(|ours| ours.ino() == found)) {
            return Some(file);
        }
    }
}
