//! Reading a bundle: whole, with every byte accounted for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read};

use super::{BundleError, MANIFEST_FILE, MOST_MANIFEST_BYTES, SITE, Site, is_manifest_path, tail, title};
use crate::archive::{
    self, ArchiveError, Contents, Descriptor, Digest, Entries, Hasher, Index, Manifest, NAME_ANNOTATION,
    Piece, Platform, blob_path,
};

/// A manifest of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Where it belongs in a store.
    pub path: String,
    /// Its content.
    pub descriptor: Descriptor,
}

/// A bundle that is whole.
#[derive(Debug)]
pub struct Bundle {
    /// The digest of its content.
    pub digest: Digest,
    /// What it says of itself.
    pub site: Site,
    /// Its manifests.
    pub manifests: Vec<ManifestFile>,
    /// The names of its images, in full.
    pub images: BTreeSet<String>,
    entries: Entries,
}

impl Bundle {
    /// Reads all of a bundle of `length` bytes. Every byte is shown to `witness`, too.
    ///
    /// # Errors
    /// When it is not whole, or not as it should be.
    pub fn read(source: impl Read, length: u64, mut witness: impl FnMut(&[u8])) -> Result<Self, BundleError> {
        let end = tail(Digest::of(b""))?.len() as u64;
        let body = length.checked_sub(end).ok_or(BundleError::Short)?;
        let mut source = Witnessed { source, hasher: Hasher::default(), witness: &mut witness };
        let entries = {
            let mut body = BufReader::with_capacity(256 * 1024, (&mut source).take(body));
            let entries = Entries::scan(&mut body);
            // Also where that failed, so that an altered bundle is said to be one.
            io::copy(&mut body, &mut io::sink())?;
            entries
        };
        let digest = std::mem::take(&mut source.hasher).finish();
        let mut found = Vec::new();
        // Whatever is behind the end need not be read to be seen.
        (&mut source).take(end + 1).read_to_end(&mut found)?;
        if found != tail(digest)? {
            return Err(BundleError::Altered(digest));
        }
        Self::of(entries?, digest)
    }

    fn of(entries: Entries, digest: Digest) -> Result<Self, BundleError> {
        let index: Index = entries.json("index", "index.json")?;
        let is_site = |descriptor: &&Descriptor| descriptor.artifact_type == SITE;
        let mut sites = index.manifests.iter().filter(is_site);
        let site = sites.next().ok_or(BundleError::NoSite)?;
        if sites.next().is_some() {
            return Err(BundleError::Sites);
        }
        let manifest: Manifest = entries.blob_json("site", site.digest)?;
        let site: Site = entries.blob_json("description of the site", manifest.config.digest)?;
        let mut manifests: Vec<ManifestFile> = Vec::new();
        let (mut paths, mut left): (BTreeSet<String>, u64) = (BTreeSet::new(), MOST_MANIFEST_BYTES);
        for descriptor in manifest.layers {
            let path = title(&descriptor).unwrap_or_default().to_owned();
            if !is_manifest_path(&path) || descriptor.media_type != MANIFEST_FILE {
                return Err(BundleError::Path(path));
            }
            if !paths.insert(path.clone()) {
                return Err(BundleError::Twice(path));
            }
            let Some(length) = entries.size(&blob_path(descriptor.digest)) else {
                return Err(ArchiveError::Missing { what: "manifest", name: path }.into());
            };
            // One that has several places is held for each.
            left = left.checked_sub(length).ok_or(BundleError::TooLarge(MOST_MANIFEST_BYTES))?;
            manifests.push(ManifestFile { path, descriptor });
        }
        let names = index.manifests.iter().filter_map(|it| it.annotations.get(NAME_ANNOTATION).cloned());
        Ok(Self { digest, site, manifests, images: names.collect(), entries })
    }

    /// Its images for a platform.
    ///
    /// # Errors
    /// When one of them is not complete, or not for this platform.
    pub fn contents(&self, platform: &Platform) -> Result<Contents, BundleError> {
        if self.images.is_empty() {
            return Ok(Contents::default());
        }
        let contents = self.entries.images(platform)?;
        if contents.left_out.is_empty() {
            return Ok(contents);
        }
        let found = contents.left_out.join("; ");
        Err(ArchiveError::OtherPlatforms { platform: platform.clone(), found }.into())
    }

    /// Reads its manifests, by path, from the same file once more.
    ///
    /// # Errors
    /// When it is no longer what it was.
    pub fn read_manifests(&self, source: impl BufRead) -> Result<BTreeMap<String, Vec<u8>>, BundleError> {
        let wanted = self.manifests.iter().map(|it| blob_path(it.descriptor.digest)).collect();
        let (mut blobs, mut now): (BTreeMap<String, Vec<u8>>, String) = Default::default();
        archive::stream(source, wanted, |piece| {
            match piece {
                Piece::Begin { path } => {
                    path.clone_into(&mut now);
                    blobs.insert(now.clone(), Vec::new());
                }
                Piece::Data(data) => blobs.entry(now.clone()).or_default().extend_from_slice(data),
                Piece::End => {}
            }
            Ok(())
        })?;
        let mut manifests = BTreeMap::new();
        for ManifestFile { path, descriptor } in &self.manifests {
            let bytes = blobs.get(&blob_path(descriptor.digest)).cloned().unwrap_or_default();
            if Digest::of(&bytes) != descriptor.digest {
                return Err(BundleError::Manifest(path.clone()));
            }
            manifests.insert(path.clone(), bytes);
        }
        Ok(manifests)
    }
}

/// A source whose every byte is hashed and shown as it is read.
struct Witnessed<'w, R> {
    source: R,
    hasher: Hasher,
    witness: &'w mut dyn FnMut(&[u8]),
}

impl<R: Read> Read for Witnessed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        self.hasher.update(bytes);
        (self.witness)(bytes);
        Ok(count)
    }
}
