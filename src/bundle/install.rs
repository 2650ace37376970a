//! Puts the manifests of a bundle into a store, all at once: a directory of their own that takes the place of the one before in one step. Beside
//! it the one before stays, out of the store's sight, for a way back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

/// The directory in the store.
pub const DIRECTORY: &str = "bundle";
const NEW: &str = ".bundle.new";
const PREVIOUS: &str = ".bundle.previous";

/// Why manifests could not be installed; the store is as it was before.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum InstallError {
    #[error("write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("put {} in the place of {}", from.display(), to.display())]
    Swap { from: PathBuf, to: PathBuf, source: io::Error },
    #[error("remove {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
    #[error("there is no bundle before this one")]
    NothingBefore,
}

/// Manifests that lie ready beside a store.
#[derive(Debug)]
pub struct Staged {
    store: PathBuf,
}

impl Staged {
    /// Writes manifests where the store doesn't look yet, and returns once they are on the disk.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn write(store: &Path, manifests: &BTreeMap<String, Vec<u8>>) -> Result<Self, InstallError> {
        let staged = Self { store: store.to_owned() };
        let dir = staged.path();
        remove(&dir)?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| InstallError::Write { path, source }
        };
        let mut dirs = vec![dir.clone()];
        fs::create_dir_all(&dir).map_err(failed(&dir))?;
        for (path, bytes) in manifests {
            let path = dir.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(failed(parent))?;
                dirs.push(parent.to_owned());
            }
            let written = File::create_new(&path).and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            });
            written.map_err(failed(&path))?;
        }
        dirs.sort();
        dirs.dedup();
        for dir in dirs {
            sync(&dir).map_err(failed(&dir))?;
        }
        Ok(staged)
    }

    /// Where they lie.
    pub fn path(&self) -> PathBuf {
        self.store.join(NEW)
    }

    /// Puts them into the store. What was there lies where [`roll_back`] finds it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn commit(self, keep_previous: bool) -> Result<(), InstallError> {
        let (new, current, previous) = (self.path(), self.store.join(DIRECTORY), self.store.join(PREVIOUS));
        if exchange(&new, &current)? && keep_previous {
            remove(&previous)?;
            rename(&new, &previous)?;
        }
        remove(&new)?;
        // Also a power cut finds it so.
        sync(&self.store).map_err(|source| InstallError::Write { path: self.store.clone(), source })
    }
}

/// Puts the manifests before into the store again, and those that are there in their place.
///
/// # Errors
/// When there are none before, or the system refuses.
pub fn roll_back(store: &Path) -> Result<(), InstallError> {
    let previous = store.join(PREVIOUS);
    if !previous.is_dir() {
        return Err(InstallError::NothingBefore);
    }
    exchange(&previous, &store.join(DIRECTORY))?;
    sync(store).map_err(|source| InstallError::Write { path: store.to_owned(), source })
}

/// Puts one directory in the place of another, in one step, and the other in its; says whether there was another.
fn exchange(from: &Path, to: &Path) -> Result<bool, InstallError> {
    if !to.exists() {
        return rename(from, to).map(|()| false);
    }
    let swapped = renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_EXCHANGE);
    swapped.map(|()| true).map_err(|errno| InstallError::Swap {
        from: from.to_owned(),
        to: to.to_owned(),
        source: errno.into(),
    })
}

fn rename(from: &Path, to: &Path) -> Result<(), InstallError> {
    let (from_owned, to_owned) = (from.to_owned(), to.to_owned());
    fs::rename(from, to).map_err(|source| InstallError::Swap { from: from_owned, to: to_owned, source })
}

fn remove(path: &Path) -> Result<(), InstallError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(InstallError::Remove { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
