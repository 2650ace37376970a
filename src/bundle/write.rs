//! Writing a bundle: the index first, then blobs as they come, at last the digest of all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::{BundleError, MANIFEST_FILE, MOST_MANIFEST_BYTES, SITE, Site, TITLE, is_manifest_path, tail};
use crate::archive::{
    Descriptor, Digest, Hasher, Index, Manifest, NAME_ANNOTATION, TarWriter, blob_path, media_type,
};

const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const EMPTY_CONFIG: &str = "application/vnd.daemonlet.site.config.v1+json";

/// Writes a bundle. The same content gives the same bytes.
pub struct Writer<W: Write> {
    tar: TarWriter<Hashed<W>>,
    written: BTreeSet<Digest>,
}

impl<W: Write> Writer<W> {
    /// Begins a bundle of this site: its manifests by path, and its images by name.
    ///
    /// # Errors
    /// When a manifest has no fit path, they are larger than a bundle may have them, or it can't be written.
    pub fn begin(
        target: W,
        site: &Site,
        manifests: &BTreeMap<String, Vec<u8>>,
        images: &BTreeMap<String, Descriptor>,
    ) -> Result<Self, BundleError> {
        if let Some(path) = manifests.keys().find(|path| !is_manifest_path(path)) {
            return Err(BundleError::Path(path.clone()));
        }
        if manifests.values().map(|bytes| bytes.len() as u64).sum::<u64>() > MOST_MANIFEST_BYTES {
            return Err(BundleError::TooLarge(MOST_MANIFEST_BYTES));
        }
        Self::unbounded(target, site, manifests, images)
    }

    /// Begins one whose manifests may be larger than any reader takes.
    pub(super) fn unbounded(
        target: W,
        site: &Site,
        manifests: &BTreeMap<String, Vec<u8>>,
        images: &BTreeMap<String, Descriptor>,
    ) -> Result<Self, BundleError> {
        let json = |value: serde_json::Result<Vec<u8>>| value.map_err(io::Error::from);
        let described = json(serde_json::to_vec(site))?;
        let layers = manifests.iter().map(|(path, bytes)| {
            let mut layer = Descriptor::of(MANIFEST_FILE, bytes);
            layer.annotations.insert(TITLE.to_owned(), path.clone());
            layer
        });
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            artifact_type: SITE.to_owned(),
            config: Descriptor::of(EMPTY_CONFIG, &described),
            layers: layers.collect(),
            annotations: BTreeMap::new(),
        };
        let manifest = json(serde_json::to_vec(&manifest))?;
        let mut artifact = Descriptor::of(media_type::OCI_MANIFEST, &manifest);
        SITE.clone_into(&mut artifact.artifact_type);
        let named = images.iter().map(|(name, descriptor)| {
            let mut descriptor = descriptor.clone();
            descriptor.annotations.insert(NAME_ANNOTATION.to_owned(), name.clone());
            descriptor
        });
        let index = Index {
            schema_version: 2,
            media_type: media_type::OCI_INDEX.to_owned(),
            manifests: [artifact].into_iter().chain(named).collect(),
            annotations: BTreeMap::new(),
        };
        let index = json(serde_json::to_vec(&index))?;
        let mut tar = TarWriter::new(Hashed { target, hasher: Hasher::default() });
        tar.file("oci-layout", LAYOUT.len() as u64, 0o644, LAYOUT.as_bytes())?;
        tar.file("index.json", index.len() as u64, 0o644, index.as_slice())?;
        let mut writer = Self { tar, written: BTreeSet::new() };
        for bytes in [manifest, described].iter().chain(manifests.values()) {
            writer.blob(bytes)?;
        }
        Ok(writer)
    }

    /// Whether a blob was written already.
    pub fn has(&self, digest: Digest) -> bool {
        self.written.contains(&digest)
    }

    /// Writes a blob that is at hand, once.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn blob(&mut self, bytes: &[u8]) -> io::Result<()> {
        let digest = Digest::of(bytes);
        if self.written.insert(digest) {
            self.tar.file(&blob_path(digest), bytes.len() as u64, 0o644, bytes)?;
        }
        Ok(())
    }

    /// Begins a blob that comes in pieces: [`piece`](Self::piece) gives them, [`end_blob`](Self::end_blob) ends it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn begin_blob(&mut self, digest: Digest, size: u64) -> io::Result<()> {
        self.written.insert(digest);
        self.tar.begin(&blob_path(digest), size, 0o644)
    }

    /// Writes a piece of the blob that was begun.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tar.target().write_all(bytes)
    }

    /// Ends the blob that was begun, which had `size` bytes.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn end_blob(&mut self, size: u64) -> io::Result<()> {
        self.tar.pad(size)
    }

    /// Ends the bundle; its digest, and what was written to.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(mut self) -> io::Result<(Digest, W)> {
        let digest = std::mem::take(&mut self.tar.target().hasher).finish();
        let end = tail(digest)?;
        // The tail ends the tar file.
        let mut target = self.tar.abandon().target;
        target.write_all(&end)?;
        target.flush()?;
        Ok((digest, target))
    }
}

struct Hashed<W> {
    target: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.target.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}
