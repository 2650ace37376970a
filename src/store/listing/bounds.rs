//! How large a store may be. Whoever may write it may fill it; the agent has the memory and the time for a store, not for a disk.
//!
//! A store beyond a bound is listed as far as the bound, and that listing is not complete: it removes nothing.

use std::path::Path;

use crate::store::IgnoredFile;

/// A store of more directories has a link to somewhere that it shouldn't have.
pub(super) const MOST_DIRECTORIES: usize = 4096;
/// Names of any kind, hidden ones included.
pub(super) const MOST_ENTRIES: usize = 128 * 1024;
/// Files that are manifests by their names.
pub(super) const MOST_FILES: usize = 8192;
/// All manifests together.
pub(super) const MOST_BYTES: u64 = 128 << 20;

/// So many left-out files are listed; a status page of more helps nobody.
const MOST_IGNORED: usize = 256;

/// What a walk has met so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    directories: usize,
    entries: usize,
    files: usize,
    bytes: u64,
    ignored: usize,
}

impl Tally {
    /// Counts a directory.
    pub(super) fn directory(&mut self) {
        self.directories += 1;
    }

    /// How many more names may be met.
    pub(super) fn entries_left(&self) -> usize {
        (MOST_ENTRIES + 1).saturating_sub(self.entries)
    }

    /// Counts the names of a directory.
    pub(super) fn entries(&mut self, count: usize) {
        self.entries += count;
    }

    /// Counts a manifest of so many bytes, and says whether it may be read.
    pub(super) fn file(&mut self, bytes: u64) -> bool {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.exceeded().is_none()
    }

    /// Counts a file that is left out, and says whether it is to be listed.
    pub(super) fn ignored(&mut self) -> bool {
        self.ignored += 1;
        self.ignored <= MOST_IGNORED
    }

    /// What is more than a store may have.
    pub(super) fn exceeded(&self) -> Option<String> {
        if self.directories > MOST_DIRECTORIES {
            Some(format!("{MOST_DIRECTORIES} directories"))
        } else if self.entries > MOST_ENTRIES {
            Some(format!("{MOST_ENTRIES} names in its directories"))
        } else if self.files > MOST_FILES {
            Some(format!("{MOST_FILES} manifest files"))
        } else if self.bytes > MOST_BYTES {
            Some(format!("{} MiB of manifests", MOST_BYTES >> 20))
        } else {
            None
        }
    }

    /// Says how many files are not among those that are listed.
    pub(super) fn surplus(&self, root: &Path) -> Option<IgnoredFile> {
        let surplus = self.ignored.checked_sub(MOST_IGNORED).filter(|surplus| *surplus > 0)?;
        Some(IgnoredFile { path: root.to_path_buf(), reason: format!("{surplus} more files are left out") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_bounded_in_files_bytes_directories_and_names() {
        let mut bytes = Tally::default();
        assert!((0..12).all(|_| bytes.file(10 << 20)));
        assert!(!bytes.file(10 << 20), "130 MiB");
        assert!(bytes.exceeded().is_some_and(|what| what.contains("128 MiB")));

        let mut files = Tally::default();
        assert!((0..MOST_FILES).all(|_| files.file(1)));
        assert!(!files.file(1));

        let mut names = Tally::default();
        names.entries(MOST_ENTRIES);
        assert_eq!((names.exceeded(), names.entries_left()), (None, 1));
        names.entries(1);
        assert!(names.exceeded().is_some());
        assert_eq!(names.entries_left(), 0);

        let mut directories = Tally::default();
        (0..=MOST_DIRECTORIES).for_each(|_| directories.directory());
        assert!(directories.exceeded().is_some());
    }

    #[test]
    fn of_a_million_files_that_are_left_out_a_few_are_listed_and_the_others_counted() {
        let mut tally = Tally::default();
        let listed = (0..1_000_000).filter(|_| tally.ignored()).count();
        assert_eq!(listed, MOST_IGNORED);
        let surplus = tally.surplus(Path::new("/m")).map(|surplus| surplus.reason);
        assert_eq!(surplus.as_deref(), Some("999744 more files are left out"));
    }
}
