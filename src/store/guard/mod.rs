//! Whether a listing that lacks much of what ran is to be believed.
//!
//! Pure. Design invariant 5: an unmounted or suddenly empty store is not the same as an empty store, and the deletion of many DaemonSets at once
//! waits until it is confirmed or a set time has passed. What vanishes one by one is what operators do, and is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::mem::discriminant;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::merge::{FileState, Files};
use crate::boot_time::BootTime;
use crate::manifest::{Kind, ObjectKey};

/// What identifies a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DirectoryId {
    /// `st_dev`; another number for the same file system after a reboot.
    pub(super) device: u64,
    /// `st_ino`
    pub(super) inode: u64,
    /// `f_type` of statfs
    pub(super) file_system: i64,
}

/// The store's root and every directory below it on which a file system is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The boot in which the devices' numbers mean something.
    pub(super) boot: String,
    /// By their paths; the root is always among them.
    pub(super) directories: BTreeMap<PathBuf, DirectoryId>,
}

/// A hold on removals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold {
    /// Since when.
    pub(super) since: BootTime,
    /// Why.
    pub(super) cause: Cause,
    /// The objects that it keeps.
    pub(super) vanishing: BTreeSet<ObjectKey>,
}

impl Hold {
    /// How long it lasts; `None` when no time ends it, only a repair or a confirmation.
    pub(super) fn remaining(&self, now: &BootTime, thresholds: &Thresholds) -> Option<Duration> {
        match self.cause {
            Cause::Unmounted(_) | Cause::Forgotten(Some(_)) => None,
            Cause::Forgotten(None) | Cause::Moved(_) | Cause::Emptied | Cause::Many(..) => {
                thresholds.ends().map(|hold| hold.saturating_sub(now.since(&self.since)))
            }
        }
    }

    /// When it ends, since the boot that `now` is of; `None` when no time ends it.
    pub(super) fn until(&self, now: &BootTime, thresholds: &Thresholds) -> Option<Duration> {
        // A hold of an earlier boot begins again at the next settled look.
        let since = if self.since.boot == now.boot { &self.since } else { now };
        self.remaining(now, thresholds)?;
        thresholds.ends().map(|hold| since.uptime.saturating_add(hold))
    }
}

/// How much may vanish at once, and how long more than that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// An emptied store is believed at once when no more DaemonSets than this vanish with it.
    pub emptied: usize,
    /// Otherwise, from this number of DaemonSets on …
    pub many: usize,
    /// … and from more than this share of all, in per cent, a deletion is held.
    pub share: usize,
    /// For so long; [`Duration::MAX`]: until somebody confirms it.
    pub hold: Duration,
}

impl Thresholds {
    fn ends(&self) -> Option<Duration> {
        Some(self.hold).filter(|hold| *hold != Duration::MAX)
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { emptied: 1, many: 3, share: 50, hold: Duration::from_secs(15 * 60) }
    }
}

/// What a complete and successful listing would remove.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// DaemonSets that ran before.
    pub(super) before: usize,
    /// What ran before and is in no file now.
    pub(super) vanishing: &'a BTreeSet<ObjectKey>,
    /// The manifest files that there are.
    pub(super) files: &'a Files,
    /// Where the store was when it was last good, if it ever was.
    pub(super) place_before: Option<&'a Place>,
    /// Where it is now.
    pub(super) place: &'a Place,
    /// Something ran before, and what it was can't be known any more.
    pub(super) forgotten: bool,
}

/// The guard's answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Remove what vanished.
    Believe,
    /// Remove nothing.
    Hold {
        /// To be remembered, also across restarts.
        hold: Hold,
    },
}

/// Why removals are held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cause {
    /// A file system that was mounted at the directory isn't, and nothing is in its stead.
    Unmounted(PathBuf),
    /// The directory is on another file system than before, and has less in it.
    Moved(PathBuf),
    /// There is no manifest any more.
    Emptied,
    /// So many DaemonSets of so many vanished at once.
    Many(usize, usize),
    /// What the store had before can't be known any more, so nobody can say what is missing; and it may be in this file, which can't
    /// be understood.
    Forgotten(Option<PathBuf>),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Unmounted(at) => {
                write!(f, "{} is empty and no longer the file system that it was", at.display())
            }
            Cause::Moved(at) => {
                write!(f, "{} is another file system than before, with less in it", at.display())
            }
            Cause::Emptied => f.write_str("the store is suddenly empty"),
            Cause::Many(vanished, before) => {
                write!(f, "{vanished} of {before} DaemonSets vanished from the store at once")
            }
            Cause::Forgotten(file) => {
                f.write_str("the last good content could not be read, so what may be missing is not known")?;
                match file {
                    Some(file) => write!(f, ", and {} can't be understood", file.display()),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Judges a complete, successful and settled listing.
pub(super) fn judge(
    evidence: &Evidence<'_>,
    held: Option<&Hold>,
    now: &BootTime,
    thresholds: &Thresholds,
) -> Verdict {
    if evidence.forgotten
        && let hold @ Verdict::Hold { .. } = verdict(forgotten(evidence), evidence, held, now, thresholds)
    {
        return hold;
    }
    match suspicion(evidence, thresholds) {
        Some(cause) => verdict(cause, evidence, held, now, thresholds),
        None => Verdict::Believe,
    }
}

fn verdict(
    cause: Cause,
    evidence: &Evidence<'_>,
    held: Option<&Hold>,
    now: &BootTime,
    thresholds: &Thresholds,
) -> Verdict {
    // A hold that has to keep more than it was made for, or for another reason, begins again: nobody had the time to see that.
    // So does one of an earlier boot: nobody knows how long ago that was.
    let same = |held: &&Hold| {
        held.since.boot == now.boot
            && discriminant(&held.cause) == discriminant(&cause)
            && (matches!(cause, Cause::Forgotten(_)) || evidence.vanishing.is_subset(&held.vanishing))
    };
    let (since, vanishing) = match held.filter(same) {
        Some(held) => (held.since.clone(), held.vanishing.clone()),
        None => (now.clone(), evidence.vanishing.clone()),
    };
    let next = Hold { since, cause, vanishing };
    match next.remaining(now, thresholds) {
        Some(Duration::ZERO) => Verdict::Believe,
        _ => Verdict::Hold { hold: next },
    }
}

/// Not to know what ran is the suspicion; a file that may have it and can't be understood makes it last.
fn forgotten(evidence: &Evidence<'_>) -> Cause {
    let file = evidence.files.iter().filter(|(_, state)| match state {
        FileState::Read(reading) => reading.refused_unidentified,
        FileState::Unreadable(_) | FileState::Pending => true,
    });
    Cause::Forgotten(file.map(|(path, _)| path.to_path_buf()).min())
}

fn suspicion(evidence: &Evidence<'_>, thresholds: &Thresholds) -> Option<Cause> {
    if evidence.vanishing.is_empty() {
        return None;
    }
    let elsewhere = evidence.place_before.and_then(|before| {
        before.directories.iter().find_map(|(path, was)| {
            let barren = !evidence.files.keys().any(|file| file.starts_with(path));
            let is = evidence.place.directories.get(path);
            // Device numbers are handed out anew at each boot; a mounted root's inode and type are not.
            let other = is.is_none_or(|is| {
                if before.boot == evidence.place.boot {
                    was.device != is.device
                } else {
                    was.file_system != is.file_system || (barren && was.inode != is.inode)
                }
            });
            other.then(|| if barren { Cause::Unmounted(path.clone()) } else { Cause::Moved(path.clone()) })
        })
    });
    if elsewhere.is_some() {
        return elsewhere;
    }
    let vanished = evidence.vanishing.iter().filter(|key| key.kind == Kind::DaemonSet).count();
    if evidence.files.is_empty() && (vanished > thresholds.emptied || replaced(evidence)) {
        return Some(Cause::Emptied);
    }
    let many = vanished >= thresholds.many && vanished * 100 > evidence.before * thresholds.share;
    many.then_some(Cause::Many(vanished, evidence.before))
}

/// Whether the root is another directory of the same file system.
fn replaced(evidence: &Evidence<'_>) -> bool {
    let inodes =
        |place: &Place| place.directories.values().map(|directory| directory.inode).collect::<Vec<_>>();
    evidence.place_before.is_some_and(|before| inodes(before) != inodes(evidence.place))
}

#[cfg(test)]
mod tests;
