//! What was imported from which archive, on disk. Losing it costs another import, which finds everything there.
//!
//! Several archives may have images under one name. The bundle that counts then goes before all others, and of those the one that was imported
//! last: so every import has a number, which it keeps when it is done again. What archives have pinned and none has any more stays here until it is
//! unpinned. Nothing here asks the runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::folder::Identity;
use crate::archive::{Digest, Image};
use crate::atomic_file::{self, AtomicFileError};
use crate::bundle::keep;

/// The names and IDs of the images that archives have pinned.
pub fn pinned_by(memory: &Path) -> BTreeSet<String> {
    Memory::open(memory).pinned()
}

/// An image that an archive gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    /// Its names in full.
    pub(super) names: Vec<String>,
    /// Its ID.
    pub(super) id: Digest,
}

impl Given {
    pub(super) fn of(image: &Image) -> Self {
        Self { names: image.names.clone(), id: image.id }
    }

    /// All that it is pinned under, in containerd's words.
    fn pins(&self) -> impl Iterator<Item = String> {
        self.names.iter().cloned().chain([self.id.to_string()])
    }
}

/// An archive that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Imported {
    /// What it was then.
    identity: Identity,
    /// What it gave, or left to others that go before it.
    images: Vec<Given>,
    /// Later imports have higher ones; those that were written down before there were numbers have none.
    #[serde(default)]
    number: u64,
}

/// What goes before what where names are the same: the higher.
type Rank<'a> = (bool, u64, &'a str);

fn rank(archive: &str, number: u64) -> Rank<'_> {
    (keep::digest_of(archive).is_some(), number, archive)
}

/// All archives that were imported and lie in the folder, by name.
#[derive(Debug, Default)]
pub(super) struct Memory {
    path: PathBuf,
    held: Held,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    archives: BTreeMap<String, Imported>,
    /// What is to be unpinned.
    #[serde(default)]
    leaving: BTreeSet<String>,
}

/// Both forms in which it was ever written: at first there were the archives alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Held(Held),
    Archives(BTreeMap<String, Imported>),
}

impl Memory {
    /// Reads it; what can't be read is forgotten.
    pub(super) fn open(path: &Path) -> Self {
        let written = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Written::Held(Held::default())),
            Err(error) => Err(error),
        };
        let held = match written {
            Ok(Written::Held(held)) => held,
            Ok(Written::Archives(archives)) => Held { archives, leaving: BTreeSet::new() },
            Err(error) => {
                warn!(%error, file = %path.display(), "cannot read which archives were imported; all are imported again");
                Held::default()
            }
        };
        Self { path: path.to_owned(), held }
    }

    pub(super) fn write(&self) -> Result<(), AtomicFileError> {
        // Names, numbers and digests can always be written as JSON.
        let bytes = serde_json::to_vec(&self.held).unwrap_or_default();
        atomic_file::write(&self.path, &bytes, 0o600)
    }

    /// What an archive was when it was imported, if it was.
    pub(super) fn identity(&self, archive: &str) -> Option<Identity> {
        self.held.archives.get(archive).map(|it| it.identity)
    }

    /// The names of all images, in full.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.images().flat_map(|image| image.names.iter().cloned()).collect()
    }

    /// The names and IDs that must stay pinned, in containerd's words.
    pub(super) fn pinned(&self) -> BTreeSet<String> {
        self.images().flat_map(Given::pins).collect()
    }

    /// The archives that have an image of this name, the one that goes before the others first.
    pub(super) fn with(&self, name: &str) -> Vec<String> {
        let has = |it: &Imported| it.images.iter().any(|image| image.names.iter().any(|of| of == name));
        let found = self.held.archives.iter().filter(|(_, it)| has(it));
        let mut ranks: Vec<Rank<'_>> = found.map(|(archive, it)| rank(archive, it.number)).collect();
        ranks.sort_unstable();
        ranks.into_iter().rev().map(|(_, _, archive)| archive.to_owned()).collect()
    }

    /// The archives some of whose images are not among these names any more.
    pub(super) fn lost(&self, there: &BTreeSet<String>) -> BTreeSet<String> {
        let is_whole =
            |it: &Imported| it.images.iter().flat_map(|image| &image.names).all(|name| there.contains(name));
        let lost = self.held.archives.iter().filter(|(_, it)| !is_whole(it));
        lost.map(|(archive, _)| archive.clone()).collect()
    }

    /// Puts archives into the order in which they are to be imported, so that what goes before others comes last.
    pub(super) fn sort(&self, archives: &mut [(String, Identity)]) {
        archives.sort_by(|(one, its), (other, others)| {
            rank(one, self.number(one, *its)).cmp(&rank(other, self.number(other, *others)))
        });
    }

    /// The names that an archive leaves to others that go before it.
    pub(super) fn before(&self, archive: &str, identity: Identity) -> BTreeSet<String> {
        let own = rank(archive, self.number(archive, identity));
        let before = self.held.archives.iter().filter(|(name, it)| rank(name, it.number) > own);
        before.flat_map(|(_, it)| &it.images).flat_map(|image| image.names.iter().cloned()).collect()
    }

    /// Images are about to be pinned for an archive. Until it is said to be imported they are to be unpinned again. Says whether that is new.
    pub(super) fn announce(&mut self, images: &[Given]) -> bool {
        let pinned = self.pinned();
        let before = self.held.leaving.len();
        self.held.leaving.extend(images.iter().flat_map(Given::pins).filter(|name| !pinned.contains(name)));
        self.held.leaving.len() > before
    }

    /// An archive was imported, for the first time or again.
    pub(super) fn imported(&mut self, archive: String, identity: Identity, images: Vec<Given>) {
        let before = self.pinned();
        let number = self.number(&archive, identity);
        self.held.archives.insert(archive, Imported { identity, images, number });
        self.leave(before);
    }

    /// Forgets the archives that are gone; says whether there were any.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) -> bool {
        let (before, count) = (self.pinned(), self.held.archives.len());
        self.held.archives.retain(|archive, _| is_there(archive));
        self.leave(before);
        self.held.archives.len() != count
    }

    /// Whether something may have to be unpinned.
    pub(super) fn has_leaving(&self) -> bool {
        !self.held.leaving.is_empty()
    }

    /// What is to be unpinned. Of what `others` have pinned nothing is said any more: it is theirs now.
    pub(super) fn left_to_unpin(&mut self, others: &BTreeSet<String>) -> Vec<String> {
        let pinned = self.pinned();
        self.held.leaving.retain(|name| !pinned.contains(name) && !others.contains(name));
        self.held.leaving.iter().cloned().collect()
    }

    /// It is unpinned.
    pub(super) fn unpinned(&mut self, name: &str) {
        self.held.leaving.remove(name);
    }

    fn leave(&mut self, before: BTreeSet<String>) {
        let now = self.pinned();
        self.held.leaving.extend(before.into_iter().filter(|name| !now.contains(name)));
        self.held.leaving.retain(|name| !now.contains(name));
    }

    /// The number of an archive: its own, or the next.
    fn number(&self, archive: &str, identity: Identity) -> u64 {
        match self.held.archives.get(archive) {
            Some(known) if known.identity == identity => known.number,
            _ => self.held.archives.values().map(|it| it.number).max().unwrap_or(0).saturating_add(1),
        }
    }

    fn images(&self) -> impl Iterator<Item = &Given> {
        self.held.archives.values().flat_map(|archive| &archive.images)
    }
}
