//! Which files of the folder are archives, and whether one is still what it was. All of it blocks for as long as the file system does.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::store::is_on_network;

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

/// Which folder it is: another may take its place, or be mounted over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    device: u64,
    inode: u64,
}

impl Place {
    /// What is at this path now.
    pub(super) fn now(folder: &Path) -> io::Result<Self> {
        fs::metadata(folder).map(|it| Self { device: it.dev(), inode: it.ino() })
    }
}

/// The archives in a folder, and the names of files that are none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) place: Place,
    pub(super) archives: BTreeMap<String, Identity>,
    pub(super) others: Vec<String>,
    /// Entries of which nobody knows what they are, and why. They are not gone.
    pub(super) unknown: BTreeMap<String, String>,
    /// Whether the kernel learns nothing of changes that others make.
    pub(super) is_on_network: bool,
}

impl Listing {
    /// Whether there is such an entry, known or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.archives.contains_key(name) || self.unknown.contains_key(name)
    }
}

/// Lists a folder.
///
/// # Errors
/// When it can't be listed to its end: then it says nothing of what is gone.
pub(super) fn list(folder: &Path) -> io::Result<Listing> {
    let mut found = Listing {
        place: Place::now(folder)?,
        archives: BTreeMap::new(),
        others: Vec::new(),
        unknown: BTreeMap::new(),
        is_on_network: is_on_network(folder),
    };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Links count as what they lead to.
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_file() && is_archive(&name) => {
                found.archives.insert(name, Identity::of(&metadata));
            }
            Ok(metadata) if metadata.is_file() && !name.starts_with('.') => found.others.push(name),
            Err(error) if error.kind() != io::ErrorKind::NotFound && is_archive(&name) => {
                found.unknown.insert(name, error.to_string());
            }
            _ => {}
        }
    }
    Ok(found)
}
