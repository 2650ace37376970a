//! Replaces a small file so that a reader, or a power cut, finds the old content or the new one and nothing between.
//!
//! Everything that daemonlet keeps under its state directory goes through here (design invariant 1). A path has one writer:
//! the temporary file has a fixed name beside the target, so that a killed agent leaves at most one, which the next write
//! takes over. This module must never follow a symlink at that name.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

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
    /// The file has its new content, but a power cut may still bring the old one back.
    #[error("sync directory {}", path.display())]
    SyncDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Replaces `path` by a file of these bytes and this mode, and returns once it is on the disk.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AtomicFileError> {
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
    let replaced = fill(file, bytes, mode)
        .map_err(|source| AtomicFileError::Write { path: temporary.clone(), source })
        .and_then(|()| {
            fs::rename(&temporary, path).map_err(|source| AtomicFileError::Rename {
                from: temporary.clone(),
                to: path.to_owned(),
                source,
            })
        });
    if replaced.is_err() {
        // A full disk needs the space back more than anyone needs the remains.
        let _ = fs::remove_file(&temporary);
    }
    replaced?;
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(|source| AtomicFileError::SyncDirectory { path: directory.to_owned(), source })
}

fn fill(mut file: File, bytes: &[u8], mode: u32) -> io::Result<()> {
    // The mode given to open is subject to the umask, and does nothing for a file that a killed agent left.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
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
    fn a_missing_directory_is_named() {
        let error = write(Path::new("/nonexistent/state.json"), b"x", 0o600).unwrap_err();
        assert_eq!(error.to_string(), "create /nonexistent/.state.json.new");
    }
}
