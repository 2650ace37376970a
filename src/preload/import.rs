//! One archive, from the file to containerd: what it holds, which names it gives, and why it is refused.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use crate::archive::{self, ArchiveError, Contents, Digest, Image, Platform};
use crate::bundle::{Bundle, BundleError};
use crate::containerd::ImportError;

const BUFFER: usize = 256 * 1024;

/// Why an archive was not imported.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error("it was kept as a bundle")]
    Bundle(#[from] BundleError),
    #[error("it was kept as another bundle than it is, which has the digest {0}; apply the bundle again")]
    OtherBundle(Digest),
    #[error("it changed while it was read")]
    Changed,
}

impl Problem {
    /// Whether the archive itself is at fault, so that only another one helps.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Archive(_)
                | Self::Bundle(_)
                | Self::OtherBundle(_)
                | Self::Import(ImportError::Archive { .. } | ImportError::NotContainerd)
        )
    }
}

/// Reads an archive on a thread of its own; one that was kept as a bundle must be that bundle to the last byte, for nobody asks for its
/// signature any more.
pub(super) async fn survey(
    path: &Path,
    kept: Option<Digest>,
    platform: &Platform,
) -> Result<Contents, Problem> {
    let (path, platform): (PathBuf, Platform) = (path.to_owned(), platform.clone());
    let read = spawn_blocking(move || look_into(&path, kept, &platform));
    read.await.unwrap_or_else(|panic| Err(ArchiveError::from(io::Error::other(panic)).into()))
}

fn look_into(path: &Path, kept: Option<Digest>, platform: &Platform) -> Result<Contents, Problem> {
    let file = File::open(path).map_err(ArchiveError::from)?;
    let Some(kept) = kept else {
        return Ok(archive::survey(BufReader::with_capacity(BUFFER, file), platform)?);
    };
    let length = file.metadata().map_err(ArchiveError::from)?.len();
    let bundle = Bundle::read(file, length, |_| {})?;
    if bundle.digest != kept {
        return Err(Problem::OtherBundle(bundle.digest));
    }
    Ok(bundle.contents(platform)?)
}

/// Leaves of an archive's images those that it gives: what has the name `only`, if there is one, and of all names those that no archive has that
/// goes before it. Returns the names that it leaves to those.
pub(super) fn choose(images: &mut Vec<Image>, only: Option<&str>, before: &BTreeSet<String>) -> Vec<String> {
    let is_only = |name: &String| only == Some(name);
    if only.is_some() {
        images.retain(|image| image.names.iter().any(is_only));
    }
    let mut left = Vec::new();
    for image in images.iter_mut() {
        image.names.retain(|name| {
            let is_given = is_only(name) || !before.contains(name);
            if !is_given {
                left.push(name.clone());
            }
            is_given
        });
    }
    images.retain(|image| !image.names.is_empty());
    left
}
