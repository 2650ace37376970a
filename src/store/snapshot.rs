//! The whole content of the store at one instant, good objects only, with everything that was wrong beside it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::manifest::{ObjectKey, Objects, Problem, Stored};

/// What the store holds. Each stage downstream is handed the newest one whole, never a difference.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The good objects. An object that has become bad is here in its last good form.
    pub objects: Objects,
    /// Everything that is wrong or noteworthy, in file order.
    pub problems: Vec<Problem>,
    /// Files that are no manifests by their name or type.
    pub ignored: Vec<IgnoredFile>,
    /// How far the snapshot can be trusted to say what is *absent*.
    pub freshness: Freshness,
    /// Why nothing of what the store says now is used, where it has to be trusted and is not.
    pub refused: Option<String>,
    /// What a file says it has while no good form of it is known: not used, and not gone either.
    pub unusable: BTreeSet<ObjectKey>,
    /// What is gone from the store and kept all the same, if that is so.
    pub held: Option<HeldRemovals>,
}

/// Removals that are not believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRemovals {
    /// Why they are not.
    pub cause: String,
    /// How many objects are kept.
    pub objects: usize,
    /// Until when, since the machine booted; `None` if no time ends it.
    pub until: Option<Duration>,
}

impl HeldRemovals {
    /// How long they are kept yet, `uptime` after boot; `None` if no time ends it.
    pub fn remaining(&self, uptime: Duration) -> Option<Duration> {
        self.until.map(|until| until.saturating_sub(uptime))
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.freshness == other.freshness
            && self.refused == other.refused
            && self.unusable == other.unusable
            && self.held == other.held
            && self.problems == other.problems
            && self.ignored == other.ignored
            && self.has_same_objects(other)
    }
}

impl Snapshot {
    /// Whether both hold the same objects, from the same places.
    pub(super) fn has_same_objects(&self, other: &Self) -> bool {
        // Objects that were not read again are shared: comparing a thousand of them costs nothing.
        let same = |((key, one), (other_key, other)): ((_, &Arc<Stored>), (_, &Arc<Stored>))| {
            key == other_key && (Arc::ptr_eq(one, other) || one == other)
        };
        self.objects.0.len() == other.objects.0.len() && self.objects.0.iter().zip(&other.objects.0).all(same)
    }
}

/// Whether the snapshot is what the store says now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing has been read yet, neither from the store nor from the last good copy.
    #[default]
    Unknown,
    /// A complete and successful listing.
    Current,
    /// The store can't be listed, or what it lacks is not believed: nothing is missing here that was there when it was last
    /// good, and nothing may be removed on its account.
    LastGood {
        /// Why, and what to do.
        reason: String,
    },
}

/// A file in the store that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IgnoredFile {
    /// The file.
    pub path: PathBuf,
    /// Why it is no manifest.
    pub reason: String,
}
