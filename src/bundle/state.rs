//! Which bundles a node has had: the one that counts, the one before it, and the highest serial number, below which nothing is taken
//! without being told to. What a bundle that was found signed has put into the store stands here with its digests, and vouches for it where
//! the store has to be trusted: so this file is root's alone, and only ever replaced as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::Digest;
use crate::atomic_file::{self, AtomicFileError};

/// What a node has of bundles before its first.
static NOTHING: BTreeMap<String, Digest> = BTreeMap::new();

/// A bundle that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// Its serial number.
    pub serial: u64,
    /// The digest of its content.
    pub digest: Digest,
    /// The names and IDs of the images that it pinned.
    #[serde(default)]
    pub images: Vec<String>,
    /// Its manifests, by path, with the digests of their content.
    #[serde(default)]
    pub manifests: BTreeMap<String, Digest>,
    /// Whether a trusted key had signed it.
    #[serde(default)]
    pub verified: bool,
}

/// What a node remembers of bundles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The highest serial number that was ever applied.
    #[serde(default)]
    pub highest: u64,
    /// The bundle that counts.
    #[serde(default)]
    pub current: Option<Applied>,
    /// The one before it.
    #[serde(default)]
    pub previous: Option<Applied>,
    /// The one that is taking the place of the one that counts. It stays here when that is broken off.
    #[serde(default)]
    pub coming: Option<Applied>,
    /// The names and IDs of images that bundles have pinned and none has any more. They stay here until they are unpinned.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub leaving: BTreeSet<String>,
}

/// Why a bundle is not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum Replay {
    #[error(
        "its serial number {serial} is lower than {highest}, which this node has had; --allow-older applies it all the same"
    )]
    Older { serial: u64, highest: u64 },
    #[error(
        "it is not the bundle that this node has had with the serial number {serial}; --allow-older applies it all the same"
    )]
    Other { serial: u64 },
}

/// Why the state can't be read or written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum StateError {
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not what was written there: without it nobody knows which bundles are old; remove it to begin anew", path.display())]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error(transparent)]
    Write(#[from] AtomicFileError),
}

impl State {
    /// Reads it; a node that has had no bundle has none.
    ///
    /// # Errors
    /// When it is there and can't be read: it is never taken for lost.
    pub fn read(path: &Path) -> Result<Self, StateError> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| StateError::Malformed { path: path.to_owned(), source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(StateError::Read { path: path.to_owned(), source }),
        }
    }

    /// Writes it, and returns once it is on the disk.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &Path) -> Result<(), StateError> {
        // Numbers, digests and names can always be written as JSON.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        Ok(atomic_file::write(path, &bytes, 0o600)?)
    }

    /// Whether a bundle may be applied: the same again, or a newer one.
    ///
    /// # Errors
    /// When it is older, or another with the same number.
    pub fn admits(&self, serial: u64, digest: Digest) -> Result<(), Replay> {
        if serial < self.highest {
            return Err(Replay::Older { serial, highest: self.highest });
        }
        let known = self.current.iter().chain(&self.previous).find(|it| it.serial == serial);
        if known.is_some_and(|known| known.digest != digest) { Err(Replay::Other { serial }) } else { Ok(()) }
    }

    /// What verified bundles have put into the store, or are just putting there: nothing, before the first of them has come.
    pub fn vouched(&self) -> impl Iterator<Item = &BTreeMap<String, Digest>> {
        fn of(applied: Option<&Applied>) -> Option<&BTreeMap<String, Digest>> {
            applied.filter(|it| it.verified).map(|it| &it.manifests)
        }
        let is_first = self.current.is_none() && self.coming.is_some();
        is_first
            .then_some(&NOTHING)
            .into_iter()
            .chain(of(self.current.as_ref()))
            .chain(of(self.coming.as_ref()))
    }

    /// The names and IDs of the images that the bundle that counts has pinned, the one before it, and the one that is coming.
    pub fn pinned(&self) -> BTreeSet<String> {
        let bundles = self.current.iter().chain(&self.previous).chain(&self.coming);
        bundles.flat_map(|it| it.images.iter().cloned()).collect()
    }

    /// The one that was coming counts from now on.
    pub fn arrive(&mut self) {
        let before = self.pinned();
        if let Some(coming) = self.coming.take() {
            self.apply(coming);
        }
        self.leave(before);
    }

    /// The one that was coming has not come.
    pub fn forget_coming(&mut self) {
        let before = self.pinned();
        self.coming = None;
        self.leave(before);
    }

    /// What is to be unpinned: what only bundles have pinned that don't count any more. Of what `others` have pinned nothing is said any
    /// more: it is theirs now.
    pub fn left_to_unpin(&mut self, others: &BTreeSet<String>) -> Vec<String> {
        let pinned = self.pinned();
        self.leaving.retain(|name| !pinned.contains(name) && !others.contains(name));
        self.leaving.iter().cloned().collect()
    }

    fn leave(&mut self, before: BTreeSet<String>) {
        let now = self.pinned();
        self.leaving.extend(before.into_iter().filter(|name| !now.contains(name)));
    }

    /// The bundle counts from now on.
    pub(super) fn apply(&mut self, applied: Applied) {
        self.highest = self.highest.max(applied.serial);
        let is_same = self.current.as_ref().is_some_and(|current| current.digest == applied.digest);
        let before = self.current.replace(applied);
        if !is_same {
            self.previous = before;
        }
    }
}
