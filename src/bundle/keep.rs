//! A bundle that stays on the node, among its image archives: a bundle is an image archive, so what looks after those brings its images back when
//! the runtime has lost them.
//!
//! Two bundles may have different images under one name, and the one that counts has to win. So the one before lies there hidden, as no archive,
//! until it counts again.
//!
//! Only the file that was read and found whole is kept. It is linked where its content can no longer be changed by anybody but root, and copied
//! otherwise, with the same check of every byte; a copy has its name only once it is whole and on the disk. The name has the digest, so that no
//! file of anybody else's is ever taken for one of these and removed.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

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

/// By what a file is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    /// Of the file that this is said of.
    pub fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), size: metadata.size(), modified }
    }
}

/// Keeps a bundle that was read from `file`, which was this one then, in a folder of image archives. It is hidden until it counts.
///
/// # Errors
/// When it can't be linked or copied, or is no longer what was read. The folder is as it was before.
pub fn keep(file: &Path, read: Identity, bundle: &Bundle, folder: &Path) -> Result<(), KeepError> {
    fs::create_dir_all(folder).map_err(|source| KeepError::Folder { path: folder.to_owned(), source })?;
    if find(folder, bundle.digest).is_some() {
        return Ok(());
    }
    let target = folder.join(hidden(bundle.digest));
    // A link to a link would be no more than that.
    let file = &fs::canonicalize(file).map_err(|source| failed(&target, source))?;
    if fs::metadata(file).is_ok_and(|metadata| is_roots_alone(&metadata))
        && fs::hard_link(file, &target).is_ok()
    {
        let is_the_same = fs::symlink_metadata(&target).is_ok_and(|metadata| Identity::of(&metadata) == read);
        if !is_the_same {
            remove(&target)?;
            return Err(KeepError::Changed);
        }
        return sync(folder).map_err(|source| failed(&target, source));
    }
    let part = folder.join(hidden(bundle.digest) + PART);
    remove(&part)?;
    let copied = copy(file, &part, bundle.digest).and_then(|()| {
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
            Some(target) if target == path => {}
            Some(target) => {
                fs::rename(&path, &target).map_err(|source| KeepError::Rename { path, source })?;
            }
        }
    }
    Ok(())
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
        let digits = name.strip_suffix(PART).unwrap_or(name).strip_prefix(PREFIX)?.strip_suffix(ENDING)?;
        Some((entry.path(), Digest::from_digits(digits)?))
    });
    ours.collect()
}

fn name(digest: Digest) -> String {
    format!("{PREFIX}{}{ENDING}", digest.digits())
}

fn hidden(digest: Digest) -> String {
    format!(".{}", name(digest))
}

/// Whether nobody but root, or whoever this is, can change what is in a file.
fn is_roots_alone(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

/// Copies a bundle, and sees to it that it is this one.
fn copy(file: &Path, to: &Path, digest: Digest) -> Result<(), KeepError> {
    let source = File::open(file).map_err(|source| failed(to, source))?;
    let length = source.metadata().map_err(|source| failed(to, source))?.len();
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut target = target.map_err(|source| failed(to, source))?;
    let mut written = Ok(());
    let read = Bundle::read(source, length, |bytes| {
        if written.is_ok() {
            written = target.write_all(bytes);
        }
    });
    let read = read.map_err(|source| KeepError::Copy { path: to.to_owned(), source })?;
    written.and_then(|()| target.sync_all()).map_err(|source| failed(to, source))?;
    if read.digest == digest { Ok(()) } else { Err(KeepError::Changed) }
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

    /// Writes a bundle with this mode, and reads it.
    fn written(path: &Path, serial: u64, mode: u32) -> (Bundle, Identity) {
        let (bundle, bytes) = bundle(serial);
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        (bundle, Identity::of(&fs::metadata(path).unwrap()))
    }

    fn only(folder: &Path) -> PathBuf {
        let names: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].clone()
    }

    #[test]
    fn what_only_root_can_change_is_linked_and_the_rest_copied() {
        for (mode, is_linked) in [(0o644, true), (0o664, false), (0o646, false)] {
            let dir = tempfile::tempdir().unwrap();
            let (file, folder) = (dir.path().join("site.bundle"), dir.path().join("images"));
            let (bundle, identity) = written(&file, 1, mode);
            keep(&file, identity, &bundle, &folder).unwrap();
            keep(&file, identity, &bundle, &folder).unwrap();
            assert!(!crate::preload::is_archive(only(&folder).file_name().unwrap().to_str().unwrap()));
            arrange(&folder, Some(bundle.digest), None).unwrap();
            keep(&file, identity, &bundle, &folder).unwrap();
            let kept = only(&folder);
            assert!(crate::preload::is_archive(kept.file_name().unwrap().to_str().unwrap()));
            assert_eq!(fs::read(&kept).unwrap(), fs::read(&file).unwrap());
            let inode = |path: &Path| fs::metadata(path).unwrap().ino();
            assert_eq!(inode(&kept) == inode(&file), is_linked, "{mode:o}");
        }
    }

    #[test]
    fn a_link_to_a_bundle_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder, link) =
            (dir.path().join("site.bundle"), dir.path().join("images"), dir.path().join("link"));
        let (bundle, identity) = written(&file, 1, 0o644);
        std::os::unix::fs::symlink("site.bundle", &link).unwrap();
        keep(&link, identity, &bundle, &folder).unwrap();
        fs::remove_file(link).unwrap();
        assert!(fs::symlink_metadata(only(&folder)).unwrap().is_file());
    }

    #[test]
    fn what_is_no_longer_what_was_checked_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("site.bundle"), dir.path().join("images"));
        for mode in [0o644, 0o666] {
            let (bundle, identity) = written(&file, 1, mode);
            let other = dir.path().join("other");
            written(&other, 2, mode);
            fs::rename(other, &file).unwrap();
            assert!(matches!(keep(&file, identity, &bundle, &folder), Err(KeepError::Changed)), "{mode:o}");
            fs::write(&file, "no bundle at all, and long enough to be one by its length alone".repeat(99))
                .unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
            assert!(keep(&file, identity, &bundle, &folder).is_err());
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left of it");
        }
    }

    #[test]
    fn older_ones_go_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("site.bundle"), dir.path().join("images"));
        let digests: Vec<Digest> = (1..4)
            .map(|serial| {
                let (bundle, identity) = written(&file, serial, 0o644);
                keep(&file, identity, &bundle, &folder).unwrap();
                // The next one is another file.
                fs::remove_file(&file).unwrap();
                bundle.digest
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
