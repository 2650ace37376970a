//! What was imported from which archive, on disk. Losing it costs another import, which finds everything there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::folder::Identity;
use crate::archive::{Digest, Image};
use crate::atomic_file::{self, AtomicFileError};

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
}

/// An archive that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Imported {
    /// What it was then.
    pub(super) identity: Identity,
    /// What it gave.
    pub(super) images: Vec<Given>,
}

/// All archives that were imported and lie in the folder, by name.
#[derive(Debug, Default)]
pub(super) struct Memory {
    path: PathBuf,
    pub(super) archives: BTreeMap<String, Imported>,
}

impl Memory {
    /// Reads it; what can't be read is forgotten.
    pub(super) fn open(path: &Path) -> Self {
        let archives = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        };
        let archives = archives.unwrap_or_else(|error| {
            warn!(%error, file = %path.display(), "cannot read which archives were imported; all are imported again");
            BTreeMap::new()
        });
        Self { path: path.to_owned(), archives }
    }

    pub(super) fn write(&self) -> Result<(), AtomicFileError> {
        // Names, numbers and digests can always be written as JSON.
        let bytes = serde_json::to_vec(&self.archives).unwrap_or_default();
        atomic_file::write(&self.path, &bytes, 0o600)
    }

    /// The names of all images, in full.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.images().flat_map(|image| image.names.iter().cloned()).collect()
    }

    /// The names and IDs that must stay pinned, in containerd's words.
    pub(super) fn pinned(&self) -> BTreeSet<String> {
        let ids = self.images().map(|image| image.id.to_string());
        self.images().flat_map(|image| image.names.iter().cloned()).chain(ids).collect()
    }

    /// The archives that have an image of this name.
    pub(super) fn with(&self, name: &str) -> Vec<String> {
        let has = |it: &Imported| it.images.iter().any(|image| image.names.iter().any(|of| of == name));
        self.archives.iter().filter(|(_, it)| has(it)).map(|(archive, _)| archive.clone()).collect()
    }

    fn images(&self) -> impl Iterator<Item = &Given> {
        self.archives.values().flat_map(|archive| &archive.images)
    }
}
