//! Image archives: OCI layouts and what `docker save` writes, as tar files that may be compressed with gzip or zstd.
//!
//! An archive is read twice. [`survey`] reads all of it, checks every digest and says which images it holds for a platform and which
//! blobs they need; [`stream`] then hands over the blobs that are asked for. Neither ever holds more of the archive than its JSON parts,
//! which are bounded. Nothing here writes or talks to a runtime: that is `containerd::import`. All of it blocks. Rules: the OCI image layout
//! specification, and `images/archive/importer.go` of containerd for what `docker save` writes.

mod compression;
mod descriptor;
mod digest;
mod docker;
mod entries;
mod error;
mod follow;
mod image;
mod layout;
mod members;
mod name;
mod platform;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use descriptor::{Descriptor, Index, Manifest, media_type};
pub use digest::{Digest, Hasher, NoDigest};
pub use entries::{Entries, blob_path};
pub use error::ArchiveError;
pub use image::{Blob, Image, Source};
pub use name::normalized;
pub use platform::Platform;
pub use read::{Contents, Piece, stream, survey};
pub use write::{NAME_ANNOTATION, TarWriter};
