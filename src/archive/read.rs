//! Reading an archive: first all of it to find out what it holds, then what is wanted of it.

use std::collections::BTreeSet;
use std::io::{self, BufRead};

use super::entries::{Content, Entries, walk};
use super::{ArchiveError, Image, Platform, docker, layout};

/// A message of the content store is some megabytes at most.
const PIECE: usize = 256 * 1024;

/// What an archive holds for one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its images, at least one.
    pub images: Vec<Image>,
    /// What was left out because it is for other platforms, in words.
    pub left_out: Vec<String>,
}

/// Reads all of an archive and says what it holds for a platform.
///
/// # Errors
/// When anything about it is not as it should be: an archive is good or it isn't.
pub fn survey(source: impl BufRead, platform: &Platform) -> Result<Contents, ArchiveError> {
    images_in(&Entries::scan(source)?, platform)
}

/// What the files of an archive hold for a platform.
pub(super) fn images_in(entries: &Entries, platform: &Platform) -> Result<Contents, ArchiveError> {
    // What newer versions of docker save is both.
    let (images, left_out) = if entries.has(layout::INDEX) {
        layout::images(entries, platform)?
    } else if entries.has(docker::MANIFEST) {
        docker::images(entries, platform)?
    } else {
        return Err(ArchiveError::UnknownFormat);
    };
    if !images.is_empty() {
        Ok(Contents { images, left_out })
    } else if left_out.is_empty() {
        Err(ArchiveError::Empty)
    } else {
        Err(ArchiveError::OtherPlatforms { platform: platform.clone(), found: left_out.join("; ") })
    }
}

/// Some of an archive, as it comes.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A file begins.
    Begin {
        /// Where it is in the archive.
        path: &'a str,
    },
    /// Some of it.
    Data(&'a [u8]),
    /// All of it was there.
    End,
}

/// Hands over the files at `wanted`, each whole and once, in the order of the archive. What `take` fails with ends it.
///
/// # Errors
/// When the archive can't be read, or is no longer what it was.
pub fn stream(
    source: impl BufRead,
    mut wanted: BTreeSet<String>,
    mut take: impl FnMut(Piece<'_>) -> io::Result<()>,
) -> Result<(), ArchiveError> {
    let mut buffer = vec![0; PIECE];
    walk(source, |entry| {
        let Content::File(content) = entry.content else { return Ok(()) };
        if !wanted.remove(&entry.path) {
            return Ok(());
        }
        take(Piece::Begin { path: &entry.path })?;
        loop {
            // Full pieces, though a decompressor gives little at a time.
            let mut filled = 0;
            while filled < buffer.len() {
                match content.read(buffer.get_mut(filled..).unwrap_or_default()) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if filled == 0 {
                break;
            }
            take(Piece::Data(buffer.get(..filled).unwrap_or_default()))?;
        }
        Ok(take(Piece::End)?)
    })?;
    match wanted.pop_first() {
        Some(name) => Err(ArchiveError::Missing { what: "file", name }),
        None => Ok(()),
    }
}
