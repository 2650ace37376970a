//! Which files of the folder are archives, and whether one is still what it was.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

const ENDINGS: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".oci"];

/// Whether a file of this name is an archive. Hidden ones are somebody's temporary files.
pub fn is_archive(name: &str) -> bool {
    !name.starts_with('.') && ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

/// What a file was when it was looked at. One that was written or replaced is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    size: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { size: metadata.size(), inode: metadata.ino(), modified }
    }

    /// What this file is now.
    pub(super) fn now(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::of(&metadata))
    }
}

/// The archives in a folder, and the names of files that are none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) archives: BTreeMap<String, Identity>,
    pub(super) others: Vec<String>,
}

/// Lists a folder.
///
/// # Errors
/// When it can't be listed to its end: then it says nothing of what is gone.
pub(super) fn list(folder: &Path) -> io::Result<Listing> {
    let mut found = Listing::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Links count as what they lead to.
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_file() && is_archive(&name) => {
                found.archives.insert(name, Identity::of(&metadata));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(metadata) if metadata.is_file() && !name.starts_with('.') => found.others.push(name),
            _ => {}
        }
    }
    Ok(found)
}
