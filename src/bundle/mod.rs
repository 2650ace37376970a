//! Bundles: one file that holds a site, its manifests and every image that they name.
//!
//! A bundle is an OCI image layout in a plain tar file, so every tool for such can look into it. Its index names the images and one artifact
//! more, the site: a serial number, and the manifests as layers. Behind the layout stands the digest of every byte before it; so no byte can be
//! changed without that being seen, even where nobody signs. A signature is minisign's, in a file beside the bundle: made and checked with the
//! tools that people have, with a key that never comes near a node. [`Bundle::read`] and [`Writer`] are the format and do nothing else;
//! [`install`] puts manifests into a store, [`keep`] keeps a bundle for its images, and [`changeover`] does so in an order that no power cut leaves half done. Nothing here talks to a runtime.

pub mod changeover;
mod error;
pub mod install;
pub mod keep;
mod read;
pub mod signature;
pub mod state;
#[cfg(test)]
mod tests;
mod write;

use serde::{Deserialize, Serialize};

use crate::archive::{Descriptor, Digest, Platform, TarWriter};
use crate::store;

pub use error::BundleError;
pub use read::{Bundle, ManifestFile};
pub use write::Writer;

/// The media type of the site's description.
const SITE: &str = "application/vnd.daemonlet.site.v1+json";
/// The media type of a manifest in it.
const MANIFEST_FILE: &str = "application/vnd.daemonlet.manifest.v1";
/// By this annotation OCI knows the file name of a layer.
const TITLE: &str = "org.opencontainers.image.title";
/// All manifests of a bundle together, which are held while it is applied.
const MOST_MANIFEST_BYTES: u64 = 32 * 1024 * 1024;
/// The file behind all others.
const DIGEST_FILE: &str = "bundle.sha256";

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Site {
    /// Newer bundles have higher ones.
    pub serial: u64,
    /// What its images run on.
    pub platforms: Vec<Platform>,
}

/// What stands behind the layout: the digest of all before it, and the end of the tar file.
fn tail(digest: Digest) -> std::io::Result<Vec<u8>> {
    let text = format!("{}\n", digest.digits());
    let mut tail = TarWriter::new(Vec::new());
    tail.file(DIGEST_FILE, text.len() as u64, 0o644, text.as_bytes())?;
    tail.finish()
}

/// Whether a manifest may have this path in a bundle: as in a store, and nothing that leads elsewhere.
fn is_manifest_path(path: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\0', '\\']);
    path.len() <= 1024 && path.split('/').all(is_name) && store::is_manifest_path(path)
}

/// The files of a bundle that are manifests, with what they are found by.
fn title(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotations.get(TITLE).map(String::as_str)
}
