//! Puts the manifests of a bundle into a store, all at once: a directory of their own that takes the place of the one before in one step. Beside
//! it the one before stays, out of the store's sight, for a way back. In which order this happens, and what the record says meanwhile, is
//! [`changeover`](super::changeover)'s to say.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::archive::Digest;

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

    /// Puts them into the store, in one step. Says whether others were there; those lie in their place now.
    pub(super) fn exchange(&self) -> Result<bool, InstallError> {
        exchange(&self.path(), &self.store.join(DIRECTORY))
    }
}

/// What [`Staged::exchange`] has taken out of the store becomes the way back, or goes.
pub(super) fn put_away(store: &Path, keep: bool) -> Result<(), InstallError> {
    let (new, previous) = (store.join(NEW), store.join(PREVIOUS));
    if keep {
        remove(&previous)?;
        rename(&new, &previous)?;
    }
    remove(&new)?;
    // Also a power cut finds it so.
    sync(store).map_err(|source| InstallError::Write { path: store.to_owned(), source })
}

/// Puts the manifests before into the store again, and those that are there in their place.
pub(super) fn roll_back(store: &Path) -> Result<(), InstallError> {
    let previous = store.join(PREVIOUS);
    if !previous.is_dir() {
        return Err(InstallError::NothingBefore);
    }
    exchange(&previous, &store.join(DIRECTORY))?;
    sync(store).map_err(|source| InstallError::Write { path: store.to_owned(), source })
}

/// The manifests that the store has from a bundle.
pub(super) fn in_store(store: &Path) -> Option<BTreeMap<String, Digest>> {
    digests(&store.join(DIRECTORY))
}

/// The manifests for the way back.
pub(super) fn before(store: &Path) -> Option<BTreeMap<String, Digest>> {
    digests(&store.join(PREVIOUS))
}

/// The manifests that were written, or taken out of the store, and not put away.
pub(super) fn left_over(store: &Path) -> Option<BTreeMap<String, Digest>> {
    digests(&store.join(NEW))
}

/// The manifests below a directory, by path; none where it isn't there, can't be read, or has anything in it that no bundle puts there.
fn digests(dir: &Path) -> Option<BTreeMap<String, Digest>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(&at).ok()? {
            let entry = entry.ok()?;
            let (path, kind) = (entry.path(), entry.file_type().ok()?);
            let name = path.strip_prefix(dir).ok()?.to_str()?.to_owned();
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_file() {
                found.insert(name, Digest::of(&fs::read(&path).ok()?));
            } else {
                return None;
            }
        }
    }
    Some(found)
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
