//! An image of an archive: its names, and everything that must be in the content store before it can be said to be there.

use super::compression::Compression;
use super::descriptor::Config;
use super::entries::Entries;
use super::follow::Follower;
use super::{ArchiveError, Descriptor, Digest, Manifest, Platform};

/// Where a blob's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In the archive, at this path.
    Entry(String),
    /// Here: they were made while the archive was read.
    Bytes(Vec<u8>),
}

/// Some content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// What it is.
    pub descriptor: Descriptor,
    /// The content that it names and that must stay for as long as it does.
    pub children: Vec<Descriptor>,
    /// Where it is.
    pub source: Source,
}

/// An image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its names in full, at least one.
    pub names: Vec<String>,
    /// What the names stand for: an index or a manifest.
    pub target: Descriptor,
    /// The digest of its configuration, which the CRI calls the image's ID.
    pub id: Digest,
    /// All that it needs, each after what it names.
    pub blobs: Vec<Blob>,
}

impl Image {
    /// Its size in bytes, as it is kept.
    pub fn size(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.descriptor.size).sum()
    }
}

/// What a manifest of an OCI layout needs, lowest layer first and itself last, and the image's ID.
pub(super) fn blobs_of(
    follow: &mut Follower<'_>,
    descriptor: &Descriptor,
) -> Result<(Vec<Blob>, Digest), ArchiveError> {
    let manifest = follow.manifest(descriptor.digest)?;
    let config = follow.config(manifest.config.digest)?;
    let entries = follow.entries;
    let mut blobs = Vec::with_capacity(manifest.layers.len() + 2);
    let mut layers = Vec::with_capacity(manifest.layers.len());
    for layer in &manifest.layers {
        let blob = stored(entries, "layer", layer, Vec::new())?;
        let (_, file) = entries.blob("layer", layer.digest)?;
        layers.push((file.compression, file.digest));
        blobs.push(blob);
    }
    check_layers(&config, &layers, &descriptor.digest.to_string())?;
    blobs.push(stored(entries, "configuration", &manifest.config, Vec::new())?);
    let children = manifest.children();
    blobs.push(stored(entries, "manifest", descriptor, children)?);
    Ok((blobs, manifest.config.digest))
}

/// A blob of an OCI layout, which is as large as its descriptor says.
pub(super) fn stored(
    entries: &Entries,
    what: &'static str,
    descriptor: &Descriptor,
    children: Vec<Descriptor>,
) -> Result<Blob, ArchiveError> {
    let (path, file) = entries.blob(what, descriptor.digest)?;
    if file.size != descriptor.size {
        let (digest, expected, found) = (descriptor.digest, descriptor.size, file.size);
        return Err(ArchiveError::WrongSize { what, digest, expected, found });
    }
    // What else is said about it nobody needs who stores it.
    let descriptor = Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size);
    Ok(Blob { descriptor, children, source: Source::Entry(path.to_owned()) })
}

/// Whether the layers are those of the configuration. Of a compressed one the runtime finds that out when it unpacks it.
pub(super) fn check_layers(
    config: &Config,
    layers: &[(Compression, Digest)],
    name: &str,
) -> Result<(), ArchiveError> {
    let diffs = &config.rootfs.diff_ids;
    if diffs.len() != layers.len() {
        let (diffs, layers) = (diffs.len(), layers.len());
        return Err(ArchiveError::Layers { name: name.to_owned(), diffs, layers });
    }
    for ((compression, digest), diff) in layers.iter().zip(diffs) {
        if *compression == Compression::None && digest != diff {
            let (layer, config) = (digest.to_string(), name.to_owned());
            return Err(ArchiveError::WrongLayer { layer, config });
        }
    }
    Ok(())
}

/// The platform that a configuration is for.
pub(super) fn platform_of(follow: &mut Follower<'_>, manifest: &Manifest) -> Result<Platform, ArchiveError> {
    Ok(follow.config(manifest.config.digest)?.platform)
}
