//! The holds of this machine: those that were asked for, kept on disk, and those that a file says.
//!
//! A workload that must not be disturbed touches a file below the directory of holds (`<namespace>_<name>`, or `node` for all): the hold
//! lasts for a while from the last touch. Files are looked at only while an update is waiting to go on.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use k8s_openapi::jiff::Timestamp;
use thiserror::Error;
use tracing::warn;

use crate::atomic_file::{self, AtomicFileError};
use crate::rollout::hold::{Hold, Holds, Target};

/// Why a hold is not kept.
#[derive(Debug, Error)]
pub(super) enum HoldError {
    #[error("write {path}, where holds are kept")]
    Write { path: PathBuf, source: AtomicFileError },
}

/// The holds of this machine.
#[derive(Debug)]
pub(super) struct Holding {
    file: PathBuf,
    dir: PathBuf,
    /// How long a touch counts.
    touch: Duration,
    asked_for: Holds,
}

impl Holding {
    /// Takes up what is on disk in `file`; a file that can't be read holds nothing, which is told. `dir` is where files are touched.
    pub(super) fn open(file: PathBuf, dir: PathBuf, touch: Duration) -> Self {
        let asked_for = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                warn!(file = %file.display(), %error, "the holds can't be read; nothing is held");
                Holds::default()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!(file = %file.display(), %error, "the holds can't be read; nothing is held");
                }
                Holds::default()
            }
        };
        if let Err(error) = fs::create_dir_all(&dir) {
            warn!(dir = %dir.display(), %error, "there is no directory for the holds of workloads");
        }
        Self { file, dir, touch, asked_for }
    }

    /// Everything that is held at `now`.
    pub(super) fn all(&self, now: Timestamp) -> Holds {
        let mut all = self.asked_for.clone().and(touched(&self.dir, self.touch));
        all.expire(now);
        all
    }

    /// Takes a hold up.
    pub(super) fn put(&mut self, target: &Target, hold: Hold) -> Result<(), HoldError> {
        let now = hold.since;
        let mut next = self.asked_for.clone();
        next.put(target, hold);
        self.keep(next, now)
    }

    /// Ends a hold, whoever has it; says which it was.
    pub(super) fn release(&mut self, target: &Target, now: Timestamp) -> Result<Option<Hold>, HoldError> {
        let file = self.dir.join(target.name());
        let touched =
            touched(&self.dir, self.touch).release(target).filter(|_| fs::remove_file(file).is_ok());
        let mut next = self.asked_for.clone();
        let ended = next.release(target);
        self.keep(next, now)?;
        Ok(ended.or(touched))
    }

    fn keep(&mut self, mut next: Holds, now: Timestamp) -> Result<(), HoldError> {
        next.expire(now);
        let bytes = serde_json::to_vec(&next).unwrap_or_default();
        atomic_file::write(&self.file, &bytes, 0o600)
            .map_err(|source| HoldError::Write { path: self.file.clone(), source })?;
        self.asked_for = next;
        Ok(())
    }
}

/// What the files of a directory hold, by the times of their last touch.
fn touched(dir: &Path, touch: Duration) -> Holds {
    let mut holds = Holds::default();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Some(target) = entry.file_name().to_str().and_then(Target::named) else { continue };
        let touched = entry.metadata().and_then(|file| file.modified()).ok();
        let Some(since) = touched.and_then(|at| Timestamp::try_from(at).ok()) else { continue };
        let by = format!("the file {}", entry.path().display());
        holds.put(&target, Hold { by, reason: String::new(), since, until: since + touch });
    }
    holds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::DaemonSetKey;

    #[test]
    fn holds_are_kept_and_files_hold_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            Holding::open(dir.path().join("holds.json"), dir.path().join("holds"), Duration::from_secs(60))
        };
        let now = Timestamp::now();
        let minute = Duration::from_secs(60);
        let hold = Hold { by: "ops".into(), reason: "a fair".into(), since: now, until: now + minute };
        let web = Target::DaemonSet(DaemonSetKey { namespace: "x".into(), name: "web".into() });
        open().put(&web, hold.clone()).unwrap();
        fs::write(dir.path().join("holds/node"), "").unwrap();
        fs::write(dir.path().join("holds/README"), "").unwrap();

        let mut holding = open();
        let names = |holding: &Holding, at| {
            holding.all(at).iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&holding, now), ["node", "x_web"]);
        assert_eq!(names(&holding, now + 3 * minute), [""; 0]);
        assert_eq!(holding.release(&web, now).unwrap(), Some(hold));
        assert!(holding.release(&Target::Machine, now).unwrap().is_some());
        assert_eq!(names(&open(), now), [""; 0]);
    }
}
