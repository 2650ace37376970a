//! The holds of this machine: those that were asked for, kept on disk, and those that a file says.
//!
//! A workload that must not be disturbed touches a file below the directory of holds (`<namespace>_<name>`, or `node` for all): the hold
//! lasts for a while from the last touch. Files are looked at, and watched, only while an update is waiting to go on.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use k8s_openapi::jiff::Timestamp;
use thiserror::Error;
use tracing::warn;

use crate::atomic_file::{self, AtomicFileError};
use crate::boot_time::BootTime;
use crate::rollout::hold::{Hold, Holds, LONGEST, Present, Target};
use crate::store::DirectoryWatch;

/// Why a hold is not kept.
#[derive(Debug, Error)]
pub(super) enum HoldError {
    #[error("write {path}, where holds are kept")]
    Write { path: PathBuf, source: AtomicFileError },
}

/// When a held update is looked at again though nothing was told: to make sure, and where the directory can't be watched.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const UNWATCHED: Duration = Duration::from_secs(10);

/// What tells of files that come, go or are touched.
enum Watching {
    /// Nobody has waited yet.
    NotYet,
    Watched(DirectoryWatch),
    /// It can't be watched.
    Not,
}

/// The holds of this machine.
pub(super) struct Holding {
    file: PathBuf,
    dir: PathBuf,
    /// How long a touch counts.
    touch: Duration,
    asked_for: Holds,
    /// Why it is not known what is held, and what to do; nothing is updated meanwhile.
    pub(super) problem: Option<String>,
    watching: Watching,
}

impl Holding {
    /// Takes up what is on disk in `file`; one that can't be read may hold anything, so everything is held, which is told. `dir` is where
    /// files are touched.
    pub(super) fn open(file: PathBuf, dir: PathBuf, touch: Duration) -> Self {
        let read = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Holds::default()),
            Err(error) => Err(error.to_string()),
        };
        let (asked_for, problem) = match read {
            Ok(holds) => (holds, None),
            Err(error) => {
                let problem = format!(
                    "the holds can't be read ({error}): run `daemonlet release` when updates may go on"
                );
                warn!(file = %file.display(), "{problem}; until then every update is held");
                (all_held(&problem), Some(problem))
            }
        };
        if let Err(error) = fs::create_dir_all(&dir) {
            warn!(dir = %dir.display(), %error, "there is no directory for the holds of workloads");
        }
        Self { file, dir, touch, asked_for, problem, watching: Watching::NotYet }
    }

    /// Waits until a file may say something else. Safe to drop and await again.
    pub(super) async fn changed(&mut self) {
        match &self.watching {
            Watching::NotYet => {
                self.watching = match DirectoryWatch::open(&self.dir) {
                    Ok(watch) => Watching::Watched(watch),
                    Err(error) => {
                        warn!(dir = %self.dir.display(), %error, "holds of workloads are looked at every {UNWATCHED:?}");
                        Watching::Not
                    }
                };
                // What has happened before it was watched was told by nobody.
            }
            Watching::Watched(watch) => {
                if let Err(error) = watch.changed().await {
                    warn!(dir = %self.dir.display(), %error, "holds of workloads are looked at every {UNWATCHED:?}");
                    self.watching = Watching::Not;
                }
            }
            Watching::Not => std::future::pending().await,
        }
    }

    /// When to look whether a hold has ended, if nothing is told before.
    pub(super) fn look_again(&self, hold: &Hold, now: &Present) -> Duration {
        let slow = if matches!(self.watching, Watching::Not) { UNWATCHED } else { LOOK_AGAIN };
        (hold.remaining(now) + Duration::from_millis(10)).clamp(Duration::from_secs(1), slow)
    }

    /// Everything that is held now.
    pub(super) fn all(&self, now: &Present) -> Holds {
        let mut all = self.asked_for.clone().and(touched(&self.dir, self.touch));
        all.expire(now);
        all
    }

    /// Takes a hold up that begins now.
    pub(super) fn put(&mut self, target: &Target, hold: Hold, now: &Present) -> Result<(), HoldError> {
        let mut next = self.asked_for.clone();
        next.put(target, Hold { since_boot: Some(now.boot.clone()), ..hold });
        self.keep(next, now)
    }

    /// Ends a hold, whoever has it; says which it was.
    pub(super) fn release(&mut self, target: &Target, now: &Present) -> Result<Option<Hold>, HoldError> {
        let file = self.dir.join(target.name());
        let touched =
            touched(&self.dir, self.touch).release(target).filter(|_| fs::remove_file(file).is_ok());
        let mut next = self.asked_for.clone();
        let ended = next.release(target);
        self.keep(next, now)?;
        if *target == Target::Machine {
            self.problem = None;
        }
        Ok(ended.or(touched))
    }

    fn keep(&mut self, mut next: Holds, now: &Present) -> Result<(), HoldError> {
        next.expire(now);
        let bytes = serde_json::to_vec(&next).unwrap_or_default();
        atomic_file::write(&self.file, &bytes, 0o600)
            .map_err(|source| HoldError::Write { path: self.file.clone(), source })?;
        self.asked_for = next;
        Ok(())
    }
}

/// Everything is held, for want of knowing what is.
fn all_held(reason: &str) -> Holds {
    let since = Timestamp::now();
    let until = since + LONGEST;
    let by = "daemonlet".to_owned();
    let mut holds = Holds::default();
    let since_boot = Some(BootTime::now());
    holds.put(&Target::Machine, Hold { by, reason: reason.to_owned(), since, until, since_boot });
    holds
}

/// What the files of a directory hold, by the times of their last touch.
fn touched(dir: &Path, touch: Duration) -> Holds {
    let mut holds = Holds::default();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Some(target) = entry.file_name().to_str().and_then(Target::named) else { continue };
        let touched = entry.metadata().and_then(|file| file.modified()).ok();
        let Some(since) = touched.and_then(|at| Timestamp::try_from(at).ok()) else { continue };
        let by = format!("the file {}", entry.path().display());
        holds.put(&target, Hold { by, reason: String::new(), since, until: since + touch, since_boot: None });
    }
    holds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::DaemonSetKey;

    fn open(dir: &Path) -> Holding {
        Holding::open(dir.join("holds.json"), dir.join("holds"), Duration::from_secs(60))
    }

    fn names(holding: &Holding, at: &Present) -> Vec<String> {
        holding.all(at).iter().map(|(name, _)| name.to_owned()).collect()
    }

    fn present(wall: Timestamp, uptime: u64) -> Present {
        Present { wall, boot: BootTime { boot: "b".into(), uptime: Duration::from_secs(uptime) } }
    }

    fn web() -> Target {
        Target::DaemonSet(DaemonSetKey { namespace: "x".into(), name: "web".into() })
    }

    fn hold(now: Timestamp) -> Hold {
        let until = now + Duration::from_secs(60);
        Hold { by: "ops".into(), reason: "a fair".into(), since: now, until, since_boot: None }
    }

    #[test]
    fn holds_are_kept_and_files_hold_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let (now, dir) = (Timestamp::now(), dir.path());
        let at = present(now, 100);
        open(dir).put(&web(), hold(now), &at).unwrap();
        fs::write(dir.join("holds/node"), "").unwrap();
        fs::write(dir.join("holds/README"), "").unwrap();

        let mut holding = open(dir);
        assert_eq!(names(&holding, &at), ["node", "x_web"]);
        assert_eq!(names(&holding, &present(now + Duration::from_secs(180), 280)), [""; 0]);
        assert_eq!(holding.release(&web(), &at).unwrap().map(|hold| hold.reason), Some("a fair".to_owned()));
        assert!(holding.release(&Target::Machine, &at).unwrap().is_some());
        assert_eq!(names(&open(dir), &at), [""; 0]);
    }

    #[test]
    fn a_clock_that_is_wrong_at_boot_ends_no_hold_and_the_next_one_erases_none() {
        let dir = tempfile::tempdir().unwrap();
        let (now, dir) = (Timestamp::now(), dir.path());
        open(dir).put(&web(), hold(now), &present(now, 100)).unwrap();
        let mut after = present(Timestamp::UNIX_EPOCH, 5);
        after.boot.boot = "another".into();
        let mut holding = open(dir);
        assert_eq!(names(&holding, &after), ["x_web"]);
        holding.put(&Target::Machine, hold(Timestamp::UNIX_EPOCH), &after).unwrap();
        assert_eq!(names(&open(dir), &after), ["node", "x_web"]);
    }

    #[test]
    fn holds_that_cannot_be_read_hold_everything_until_somebody_releases_the_node() {
        let dir = tempfile::tempdir().unwrap();
        let (now, dir) = (Timestamp::now(), dir.path());
        fs::write(dir.join("holds.json"), "{").unwrap();
        let mut holding = open(dir);
        let at = Present { wall: now, boot: BootTime::now() };
        assert_eq!(names(&holding, &at), ["node"]);
        assert!(holding.problem.as_ref().is_some_and(|problem| problem.contains("daemonlet release")));
        holding.put(&web(), hold(now), &at).unwrap();
        assert_eq!(names(&open(dir), &at), ["node", "x_web"], "also once something else is held");
        holding.release(&Target::Machine, &at).unwrap();
        assert_eq!((names(&open(dir), &at), holding.problem), (vec!["x_web".to_owned()], None));
    }

    #[tokio::test]
    async fn who_waits_is_told_of_files_that_come_and_go_and_of_the_end_of_a_hold() {
        let dir = tempfile::tempdir().unwrap();
        let (now, dir) = (Timestamp::now(), dir.path());
        let mut holding = open(dir);
        // The first is no news: nobody knows what was before.
        holding.changed().await;
        for step in 0..2 {
            let file = dir.join("holds/node");
            if step == 0 {
                fs::write(&file, "").unwrap()
            } else {
                fs::remove_file(&file).unwrap()
            }
            let told = tokio::time::timeout(Duration::from_secs(20), holding.changed()).await;
            assert!(told.is_ok(), "{step}");
        }
        let held = Hold { since_boot: Some(present(now, 100).boot), ..hold(now) };
        let left = holding.look_again(&held, &present(now, 130));
        assert!((29..=31).contains(&left.as_secs()), "{left:?}");
    }
}
