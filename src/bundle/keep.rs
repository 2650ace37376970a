//! A bundle that stays on the node, among its image archives: a bundle is an image archive, so what looks after those brings its images back when
//! the runtime has lost them.
//!
//! Two bundles may have different images under one name, and the one that counts has to win. So the one before lies there hidden, as no archive,
//! until it counts again.
//!
//! What is kept is a copy, for whoever overwrites the file that he has applied must not change what comes back. Where the file system can share
//! content (btrfs, XFS), a copy takes no room. Every byte of the copy is checked, and it has its name only once it is whole and on the disk. The
//! name has the digest, so that no file of anybody else's is ever taken for one of these and removed, and so that whoever reads one can see whether
//! it is still what was checked ([`digest_of`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{Bundle, BundleError};
use crate::archive::Digest;

const PREFIX: &str = "bundle-sha256-";
const ENDING: &str = ".tar";
const PART: &str = ".part";

/// Why a bundle is not kept.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum KeepError {
    #[error("make the folder {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("copy it to {}", path.display())]
    Copy { path: PathBuf, source: BundleError },
    #[error("it is not what it was when it was checked")]
    Changed,
    #[error("rename {}", path.display())]
    Rename { path: PathBuf, source: io::Error },
    #[error("remove {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
}

/// Keeps a bundle that was read from `file` in a folder of image archives. It is hidden until it counts.
///
/// # Errors
/// When it can't be copied, or is no longer what was read. The folder is as it was before.
pub fn keep(file: &Path, digest: Digest, folder: &Path) -> Result<(), KeepError> {
    fs::create_dir_all(folder).map_err(|source| KeepError::Folder { path: folder.to_owned(), source })?;
    let known = find(folder, digest);
    if known.as_deref().is_some_and(|known| is_good(known, digest)) {
        return Ok(());
    }
    // What is kept already and not what it was is replaced.
    let target = known.unwrap_or_else(|| folder.join(hidden(digest)));
    let part = folder.join(hidden(digest) + PART);
    remove(&part)?;
    let copied = copy(file, &part, digest).and_then(|()| {
        let placed = fs::rename(&part, &target).and_then(|()| sync(folder));
        placed.map_err(|source| failed(&target, source))
    });
    if copied.is_err() {
        // Half a copy only fills the disk; what is wrong is told already.
        let _ = fs::remove_file(&part);
    }
    copied
}

/// Makes the bundle that counts an archive among the others, hides the one before, and removes all others that are kept.
///
/// # Errors
/// When the system refuses.
pub fn arrange(folder: &Path, counts: Option<Digest>, before: Option<Digest>) -> Result<(), KeepError> {
    let mut is_changed = false;
    for (path, digest) in kept(folder) {
        let is_part = path.as_os_str().as_encoded_bytes().ends_with(PART.as_bytes());
        let target = match digest {
            _ if is_part => None,
            digest if Some(digest) == counts => Some(name(digest)),
            digest if Some(digest) == before => Some(hidden(digest)),
            _ => None,
        };
        match target.map(|name| folder.join(name)) {
            None => remove(&path)?,
            Some(target) if target == path => continue,
            Some(target) => {
                fs::rename(&path, &target).map_err(|source| KeepError::Rename { path, source })?;
            }
        }
        is_changed = true;
    }
    if !is_changed {
        return Ok(());
    }
    sync(folder).map_err(|source| KeepError::Folder { path: folder.to_owned(), source })
}

/// Where a bundle is kept, if it is.
pub fn find(folder: &Path, digest: Digest) -> Option<PathBuf> {
    [name(digest), hidden(digest)].map(|name| folder.join(name)).into_iter().find(|path| path.is_file())
}

/// The bundles that are kept in a folder, and copies of some that never became whole.
pub fn kept(folder: &Path) -> Vec<(PathBuf, Digest)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter_map(|entry| {
        let name = entry.file_name();
        let name = name.to_str()?;
        let name = name.strip_prefix('.').unwrap_or(name);
        Some((entry.path(), digest_of(name.strip_suffix(PART).unwrap_or(name))?))
    });
    ours.collect()
}

/// The digest of the bundle that an archive of this name must be; none if it may be any.
pub fn digest_of(name: &str) -> Option<Digest> {
    Digest::from_digits(name.strip_prefix(PREFIX)?.strip_suffix(ENDING)?)
}

fn name(digest: Digest) -> String {
    format!("{PREFIX}{}{ENDING}", digest.digits())
}

fn hidden(digest: Digest) -> String {
    format!(".{}", name(digest))
}

/// Whether a file is this bundle, and has no other name under which it could be changed.
fn is_good(file: &Path, digest: Digest) -> bool {
    let opened = File::open(file).and_then(|file| Ok((file.metadata()?, file)));
    let Ok((metadata, file)) = opened else { return false };
    let read = || Bundle::read(file, metadata.len(), |_| {});
    metadata.nlink() == 1 && read().is_ok_and(|found| found.digest == digest)
}

/// Copies a bundle, and sees to it that it is this one.
fn copy(file: &Path, to: &Path, digest: Digest) -> Result<(), KeepError> {
    let failed = |source| failed(to, source);
    let mut source = File::open(file).map_err(failed)?;
    let target = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(to);
    let mut target = target.map_err(failed)?;
    // By `copy_file_range`, which shares the content where the file system can.
    io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(failed)?;
    target.rewind().map_err(failed)?;
    let length = target.metadata().map_err(failed)?.len();
    let copied = Bundle::read(target, length, |_| {});
    let copied = copied.map_err(|source| KeepError::Copy { path: to.to_owned(), source })?;
    if copied.digest == digest { Ok(()) } else { Err(KeepError::Changed) }
}

fn failed(path: &Path, source: io::Error) -> KeepError {
    KeepError::Copy { path: path.to_owned(), source: source.into() }
}

fn remove(path: &Path) -> Result<(), KeepError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(KeepError::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::bundle::{Site, Writer};

    fn bundle(serial: u64) -> (Bundle, Vec<u8>) {
        let site = Site { serial, platforms: Vec::new() };
        let writer = Writer::begin(Vec::new(), &site, &[].into(), &[].into()).unwrap();
        let (_, bytes) = writer.finish().unwrap();
        (Bundle::read(bytes.as_slice(), bytes.len() as u64, |_| {}).unwrap(), bytes)
    }

    /// Writes a bundle, and reads it.
    fn written(path: &Path, serial: u64) -> Digest {
        let (bundle, bytes) = bundle(serial);
        fs::write(path, bytes).unwrap();
        bundle.digest
    }

    fn only(folder: &Path) -> PathBuf {
        let names: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].clone()
    }

    #[test]
    fn what_is_kept_stays_whatever_becomes_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("site.bundle"), dir.path().join("images"));
        let digest = written(&file, 1);
        let bytes = fs::read(&file).unwrap();
        keep(&file, digest, &folder).unwrap();
        assert!(!crate::preload::is_archive(only(&folder).file_name().unwrap().to_str().unwrap()));
        arrange(&folder, Some(digest), None).unwrap();
        let name = only(&folder).file_name().unwrap().to_str().unwrap().to_owned();
        assert!(crate::preload::is_archive(&name));
        assert_eq!(digest_of(&name), Some(digest));
        assert_eq!(fs::metadata(only(&folder)).unwrap().permissions().mode() & 0o777, 0o600);
        // In place, as curl and scp do it.
        fs::write(&file, "something else").unwrap();
        assert_eq!(fs::read(only(&folder)).unwrap(), bytes);
        fs::remove_file(&file).unwrap();
        assert_eq!(fs::read(only(&folder)).unwrap(), bytes);
        keep(&file, digest, &folder).expect("it is there already");
    }

    #[test]
    fn what_was_kept_and_is_no_longer_what_it_was_is_kept_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("site.bundle"), dir.path().join("images"));
        let digest = written(&file, 1);
        let bytes = fs::read(&file).unwrap();
        for counts in [None, Some(digest)] {
            keep(&file, digest, &folder).unwrap();
            arrange(&folder, counts, Some(digest)).unwrap();
            let kept = only(&folder);
            fs::write(&kept, "altered").unwrap();
            keep(&file, digest, &folder).unwrap();
            assert_eq!(fs::read(only(&folder)).unwrap(), bytes);
            // A link has its content from whoever has the other name.
            fs::remove_file(&kept).unwrap();
            fs::hard_link(&file, &kept).unwrap();
            keep(&file, digest, &folder).unwrap();
            assert_eq!((only(&folder), fs::metadata(&kept).unwrap().nlink()), (kept, 1));
        }
    }

    #[test]
    fn a_link_to_a_bundle_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder, link) =
            (dir.path().join("site.bundle"), dir.path().join("images"), dir.path().join("link"));
        let digest = written(&file, 1);
        std::os::unix::fs::symlink("site.bundle", &link).unwrap();
        keep(&link, digest, &folder).unwrap();
        fs::remove_file(link).unwrap();
        assert!(fs::symlink_metadata(only(&folder)).unwrap().is_file());
    }

    #[test]
    fn what_is_no_longer_what_was_checked_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("site.bundle"), dir.path().join("images"));
        let digest = written(&file, 1);
        written(&file, 2);
        assert!(matches!(keep(&file, digest, &folder), Err(KeepError::Changed)));
        fs::write(&file, "no bundle at all, and long enough to be one by its length alone".repeat(99))
            .unwrap();
        assert!(keep(&file, digest, &folder).is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left of it");
    }

    #[test]
    fn older_ones_go_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("site.bundle"), dir.path().join("images"));
        let digests: Vec<Digest> = (1..4)
            .map(|serial| {
                let digest = written(&file, serial);
                keep(&file, digest, &folder).unwrap();
                digest
            })
            .collect();
        for name in
            ["bundle-mine.tar", "bundle-sha256-0.tar", &format!(".bundle-sha256-{}.tar.part", "0".repeat(64))]
        {
            fs::write(folder.join(name), "x").unwrap();
        }
        for (counts, before) in [(2, 1), (1, 2)] {
            arrange(&folder, Some(digests[counts]), Some(digests[before])).unwrap();
            let shown = |digest: Digest| find(&folder, digest).unwrap() == folder.join(name(digest));
            assert_eq!((shown(digests[counts]), shown(digests[before])), (true, false));
        }
        let mut left: Vec<String> =
            fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let mut expected = vec![
            name(digests[1]),
            hidden(digests[2]),
            "bundle-mine.tar".into(),
            "bundle-sha256-0.tar".into(),
        ];
        expected.sort();
        assert_eq!(left, expected);
    }
}
