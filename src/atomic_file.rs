//! Replaces a small file so that a reader, or a power cut, finds the old content or the new one and nothing between.
//!
//! Everything that daemonlet keeps under its state directory goes through here (design invariant 1). A path has one writer:
//! the temporary file has a fixed name beside the target, so that a killed agent leaves at most one, which the next write
//! takes over. This module must never follow a symlink at that name.
//!
//! Bringing a file to the disk is all waiting. So several files are brought there side by side ([`write_all`]): together they
//! take hardly longer than one. And a new file can be placed first and brought to the disk afterwards ([`place`], [`sync_all`]): from the
//! first moment it outlives the process, from the second also a power cut.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::fcntl::OFlag;

/// Why a file was not replaced; the old content is untouched unless the last variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum AtomicFileError {
    /// The path names no file in a directory.
    #[error("{} is no path of a file", .0.display())]
    NoFileName(PathBuf),
    /// The temporary file can't be made.
    #[error("create {}", path.display())]
    Create {
        /// The temporary file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The content can't be written or brought to the disk.
    #[error("write {}", path.display())]
    Write {
        /// The temporary file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The finished file can't take its name.
    #[error("rename {} to {}", from.display(), to.display())]
    Rename {
        /// The temporary file.
        from: PathBuf,
        /// The file to be replaced.
        to: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Whoever was to write it broke down.
    #[error("writing was interrupted")]
    Interrupted,
    /// The file has its new content, but a power cut may still bring the old one back.
    #[error("sync directory {}", path.display())]
    SyncDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// How many files are on their way to the disk at once.
const SIDE_BY_SIDE: usize = 4;

/// A file to be replaced, and what by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The file. No two replacements that are written together may have the same.
    pub path: PathBuf,
    /// Its new content.
    pub bytes: Vec<u8>,
    /// Its new mode.
    pub mode: u32,
}

/// Replaces `path` by a file of these bytes and this mode, and returns once it is on the disk.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AtomicFileError> {
    prepare(path, bytes, mode)?.place()
}

/// A file that is on the disk, and hasn't its name yet. It begins with a dot and goes when this is dropped.
pub struct Prepared<'a> {
    staged: Staged<'a>,
    is_placed: bool,
}

/// Brings a file of these bytes and this mode to the disk beside `path`, so that all that is left to do is to give it that name.
pub fn prepare<'a>(path: &'a Path, bytes: &[u8], mode: u32) -> Result<Prepared<'a>, AtomicFileError> {
    let staged = Staged::new(path, bytes, mode)?;
    staged.sync()?;
    Ok(Prepared { staged, is_placed: false })
}

impl Prepared<'_> {
    /// Replaces what has the name, and returns once that is on the disk.
    pub fn place(mut self) -> Result<(), AtomicFileError> {
        self.is_placed = true;
        self.staged.commit()?;
        sync(self.staged.directory).map_err(|source| not_synced(self.staged.directory, source))
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if !self.is_placed {
            discard(&self.staged.temporary);
        }
    }
}

/// Replaces files, each on its own, and returns once all are on the disk. One result for each, in their order: what hinders one
/// hinders no other.
pub fn write_all(files: &[Replacement]) -> Vec<Result<(), AtomicFileError>> {
    let committed = side_by_side(files, |file| {
        let staged = Staged::new(&file.path, &file.bytes, file.mode)?;
        staged.sync()?;
        staged.commit()?;
        Ok(staged.directory)
    });
    sync_directories(committed)
}

/// Gives a file its place, whole or not at all, also if this process is killed at any moment; [`sync_all`] then makes it outlast a power
/// cut, too. For new files alone: until it is on the disk, a power cut may leave an empty file, and would have cost what was there before.
pub fn place(file: &Replacement) -> Result<(), AtomicFileError> {
    Staged::new(&file.path, &file.bytes, file.mode)?.commit()
}

/// Brings files to the disk that were placed. One result for each, in their order. One that is gone again needs no bringing.
pub fn sync_all(paths: &[PathBuf]) -> Vec<Result<(), AtomicFileError>> {
    let synced = side_by_side(paths, |path| match sync(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(AtomicFileError::Write { path: path.clone(), source: error })
        }
        _ => Ok(path.parent().unwrap_or(path)),
    });
    sync_directories(synced)
}

/// Brings the names of files to the disk, each directory once.
fn sync_directories(committed: Vec<Result<&Path, AtomicFileError>>) -> Vec<Result<(), AtomicFileError>> {
    let mut directories: Vec<&Path> = committed.iter().flatten().copied().collect();
    directories.sort_unstable();
    directories.dedup();
    let synced = side_by_side(&directories, |directory| sync(directory));
    let failed: BTreeMap<&Path, io::Error> = (directories.iter().zip(synced))
        .filter_map(|(directory, synced)| Some((*directory, synced.err()?)))
        .collect();
    let result = |directory: &Path| match failed.get(directory) {
        None => Ok(()),
        Some(error) => Err(not_synced(directory, again(error))),
    };
    committed.into_iter().map(|committed| committed.and_then(result)).collect()
}

/// Does `work` for each item on a few threads, this one among them; the results are in the order of the items.
fn side_by_side<'i, I: Sync, T: Send>(items: &'i [I], work: impl Fn(&'i I) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    let work_off = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(index, result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..items.len().min(SIDE_BY_SIDE) {
            // Where the system has no thread to give, this one does the rest.
            let _ = thread::Builder::new().name("state-write".to_owned()).spawn_scoped(scope, work_off);
        }
        work_off();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// A finished file that hasn't its name yet.
struct Staged<'a> {
    file: File,
    temporary: PathBuf,
    path: &'a Path,
    directory: &'a Path,
}

impl<'a> Staged<'a> {
    fn new(path: &'a Path, bytes: &[u8], mode: u32) -> Result<Self, AtomicFileError> {
        let no_name = || AtomicFileError::NoFileName(path.to_owned());
        let name = path.file_name().ok_or_else(no_name)?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) => Path::new("."),
            None => return Err(no_name()),
        };
        let mut temporary_name = OsString::from(".");
        temporary_name.push(name);
        temporary_name.push(".new");
        let temporary = directory.join(temporary_name);

        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&temporary)
            .map_err(|source| AtomicFileError::Create { path: temporary.clone(), source })?;
        let staged = Self { file, temporary, path, directory };
        staged.fill(bytes, mode).map_err(|source| staged.not_written(source))?;
        Ok(staged)
    }

    fn fill(&self, bytes: &[u8], mode: u32) -> io::Result<()> {
        // The mode given to open is subject to the umask, and does nothing for a file that a killed agent left.
        self.file.set_permissions(Permissions::from_mode(mode))?;
        (&self.file).write_all(bytes)
    }

    fn sync(&self) -> Result<(), AtomicFileError> {
        self.file.sync_all().map_err(|source| self.not_written(source))
    }

    fn not_written(&self, source: io::Error) -> AtomicFileError {
        discard(&self.temporary);
        AtomicFileError::Write { path: self.temporary.clone(), source }
    }

    fn commit(&self) -> Result<(), AtomicFileError> {
        fs::rename(&self.temporary, self.path).map_err(|source| {
            discard(&self.temporary);
            AtomicFileError::Rename { from: self.temporary.clone(), to: self.path.to_owned(), source }
        })
    }
}

/// A full disk needs the space back more than anyone needs the remains.
fn discard(temporary: &Path) {
    let _ = fs::remove_file(temporary);
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn not_synced(directory: &Path, source: io::Error) -> AtomicFileError {
    AtomicFileError::SyncDirectory { path: directory.to_owned(), source }
}

/// The same failure once more, for another file.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_mode_are_replaced_and_nothing_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        write(&path, b"one, and longer", 0o600).unwrap();
        write(&path, b"two", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn remains_of_a_killed_writer_are_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(".state.json.new"), "half of something much longer").unwrap();
        let path = directory.path().join("state.json");
        write(&path, b"whole", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_symlink_at_the_temporary_name_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join(".state.json.new")).unwrap();
        let error = write(&directory.path().join("state.json"), b"x", 0o600).unwrap_err();
        assert!(matches!(error, AtomicFileError::Create { .. }), "{error}");
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_failed_rename_leaves_the_target_and_no_remains() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        fs::create_dir(&path).unwrap();
        let error = write(&path, b"x", 0o600).unwrap_err();
        assert!(matches!(error, AtomicFileError::Rename { .. }), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn many_files_are_replaced_together_and_what_hinders_one_hinders_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| Replacement {
            path: directory.path().join(name),
            bytes: name.as_bytes().to_vec(),
            mode: 0o600,
        };
        let mut files: Vec<_> = (0..40).map(|number| file(&format!("{number}"))).collect();
        files[7] = file("missing/7");
        let results = write_all(&files);
        for (index, (file, result)) in files.iter().zip(results).enumerate() {
            assert_eq!(result.is_ok(), index != 7, "{index}");
            assert_eq!(fs::read(&file.path).ok(), result.is_ok().then(|| file.bytes.clone()));
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 39);
        assert!(write_all(&[]).is_empty());
    }

    #[test]
    fn files_are_placed_first_and_brought_to_the_disk_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let file =
            Replacement { path: directory.path().join("record"), bytes: b"whole".to_vec(), mode: 0o600 };
        place(&file).unwrap();
        assert_eq!(fs::read(&file.path).unwrap(), b"whole");
        let gone = directory.path().join("removed meanwhile");
        assert!(sync_all(&[file.path, gone]).iter().all(Result::is_ok));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = write(Path::new("/nonexistent/state.json"), b"x", 0o600).unwrap_err();
        assert_eq!(error.to_string(), "create /nonexistent/.state.json.new");
    }
}
