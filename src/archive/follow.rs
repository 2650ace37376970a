//! Following an archive's JSON: from an index to manifests, from those to configurations and layers.
//!
//! A few kilobytes can name each other so often that following them never ends or fills the memory. So how much is followed is bounded,
//! however often it is the same.

use serde::de::DeserializeOwned;

use super::descriptor::Config;
use super::entries::Entries;
use super::{ArchiveError, Digest, Index, Manifest, blob_path};

/// An image has a hundred layers at most, and a large bundle some hundred images.
pub(super) const MOST_DESCRIPTORS: usize = 50_000;
/// Indexes, manifests and configurations together, each as often as it is read.
pub(super) const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Reads JSON of an archive, up to a bound.
pub(super) struct Follower<'a> {
    pub(super) entries: &'a Entries,
    descriptors: usize,
    bytes: u64,
}

impl<'a> Follower<'a> {
    pub(super) fn new(entries: &'a Entries) -> Self {
        Self { entries, descriptors: MOST_DESCRIPTORS, bytes: MOST_BYTES }
    }

    /// The index at a path.
    pub(super) fn index_at(&mut self, path: &str) -> Result<Index, ArchiveError> {
        let index: Index = self.read("index", path)?;
        self.count(index.manifests.len())?;
        Ok(index)
    }

    /// An index that another one names.
    pub(super) fn index(&mut self, digest: Digest) -> Result<Index, ArchiveError> {
        self.index_at(&blob_path(digest))
    }

    /// A manifest.
    pub(super) fn manifest(&mut self, digest: Digest) -> Result<Manifest, ArchiveError> {
        let manifest: Manifest = self.read("manifest", &blob_path(digest))?;
        self.count(1 + manifest.layers.len())?;
        Ok(manifest)
    }

    /// A configuration.
    pub(super) fn config(&mut self, digest: Digest) -> Result<Config, ArchiveError> {
        self.read("configuration", &blob_path(digest))
    }

    /// Anything else that is JSON.
    pub(super) fn read<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        path: &str,
    ) -> Result<T, ArchiveError> {
        let size = self.entries.file(path)?.map_or(0, |(_, file)| file.size);
        let left = self.bytes.checked_sub(size);
        self.bytes = left.ok_or(ArchiveError::TooMuchFollowed(MOST_BYTES))?;
        self.entries.json(what, path)
    }

    /// So many descriptors more are looked at.
    pub(super) fn count(&mut self, descriptors: usize) -> Result<(), ArchiveError> {
        let left = self.descriptors.checked_sub(descriptors);
        self.descriptors = left.ok_or(ArchiveError::TooManyDescriptors(MOST_DESCRIPTORS))?;
        Ok(())
    }
}
