//! Why a bundle is refused.

use std::io;
use std::path::PathBuf;

use crate::archive::{ArchiveError, Digest};

/// Why a bundle is refused, or can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum BundleError {
    #[error("read the bundle")]
    Read(#[from] io::Error),
    #[error("read the bundle")]
    Archive(#[from] ArchiveError),
    #[error("it is too short for a bundle")]
    Short,
    #[error(
        "it was altered or is incomplete: its content has the digest {0}, which is not the one at its end"
    )]
    Altered(Digest),
    #[error("it is an image archive, but no bundle: it has no site")]
    NoSite,
    #[error("it has more than one site")]
    Sites,
    #[error("{0:?} is no path for a manifest")]
    Path(String),
    #[error("it has the manifest {0} twice")]
    Twice(String),
    #[error("its manifests are larger than {0} bytes together")]
    TooLarge(u64),
    #[error("{0} is not what the bundle says it is")]
    Manifest(String),
    #[error("write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}
