//! One agent a state directory: a lock that the kernel gives back however the agent ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

/// Why the state directory can't be had.
#[derive(Debug, Error)]
pub enum LockError {
    /// The lock file can't be made. Pods run on meanwhile, and it is tried again by whoever starts the agent.
    #[error(
        "open the lock {path}: the state directory has to be writable; pods run on, and nobody looks after them until it is (see `findmnt -T` and \
         the kernel's log, then mount it read-write or repair it)"
    )]
    Open {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another agent has it.
    #[error(
        "another daemonlet (process {holder}) runs on the state directory {dir}; stop it first, or give this one a rootDir of its own"
    )]
    Held {
        /// The state directory.
        dir: PathBuf,
        /// The other agent's process, as it wrote itself down.
        holder: String,
    },
}

/// The lock, held until dropped.
#[derive(Debug)]
pub(super) struct StateLock(#[expect(dead_code, reason = "held, never read")] Flock<File>);

impl StateLock {
    /// Takes the lock of a state directory.
    ///
    /// # Errors
    /// When another agent holds it, or the lock file can't be made.
    pub(super) fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("lock");
        let failed = |source| LockError::Open { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                // For people who look for the holder; a full disk is no reason not to start.
                let _ = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
                Ok(Self(lock))
            }
            Err((mut file, _)) => {
                let mut holder = String::new();
                let _ = file.rewind().and_then(|()| file.read_to_string(&mut holder));
                let holder = if holder.is_empty() { "unknown".to_owned() } else { holder };
                Err(LockError::Held { dir: dir.to_owned(), holder })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = StateLock::take(dir.path()).expect("the lock");
        let error = StateLock::take(dir.path()).expect_err("held").to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        StateLock::take(dir.path()).expect("free again");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told_with_what_to_do() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("state"), "").expect("a file in its place");
        let error = StateLock::take(&dir.path().join("state")).expect_err("no directory").to_string();
        assert!(error.contains("has to be writable") && error.contains("pods run on"), "{error}");
    }
}
