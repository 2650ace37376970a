//! Walks the store's tree: which files there are, which of them are manifests, and whether that is all.
//!
//! Links to files and directories are followed, each directory once. A listing with `failures` must never remove anything. The
//! walk may block as long as the file system does; it runs on a thread of its own.

mod bounds;
mod file;
mod name;
mod trail;

use std::collections::{HashMap, VecDeque};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::statfs::statfs;

use self::bounds::Tally;
use self::file::{Cache, Candidate, Judged, remedy, special};
pub(super) use self::file::{NotRead, read};
use self::name::Name;
pub(crate) use self::name::is_manifest_path;
use self::trail::follow;
use super::IgnoredFile;
use super::guard::{DirectoryId, Place};
use super::merge::{FileState, Files};
use super::reading::Parse;
use super::settle::Look;
use super::watch::Watches;
use crate::archive::Digest;
use crate::manifest::{Problem, Severity};

/// File systems on which the kernel learns nothing of changes made elsewhere: AFS, Ceph, CIFS, Coda, FUSE, GFS2, Lustre, NCP,
/// NFS, OCFS2, SMB, SMB2, 9P (values of statfs(2)).
const NETWORK_FILE_SYSTEMS: [i64; 14] = [
    0x5346_414F,
    0x6B41_4653,
    0x00C3_6400,
    0xFF53_4D42,
    0x7375_7245,
    0x6573_5546,
    0x0116_1970,
    0x0BD0_0BD0,
    0x564C,
    0x6969,
    0x7461_636F,
    0x517B,
    0xFE53_4D42,
    0x0102_1997,
];

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Every manifest file.
    pub(super) files: Files,
    /// What else is there.
    pub(super) ignored: Vec<IgnoredFile>,
    /// More names of manifests, links to them, each with the one under which it is in `files`.
    pub(super) twins: Vec<(PathBuf, Arc<Path>)>,
    /// What is wrong with the tree; the files' own problems are with them.
    pub(super) problems: Vec<Problem>,
    /// Why the listing is incomplete, each with its remedy; empty if it is complete.
    pub(super) failures: Vec<String>,
    /// Where the store is.
    pub(super) place: Place,
    /// The root by a path without symlinks, if it is there.
    pub(super) real_root: Option<PathBuf>,
    /// Something is under way; a settled look will know more.
    pub(super) unsettled: bool,
    /// Something went away while it was looked at: this listing proves no absence.
    pub(super) racing: bool,
    /// Part of the store is on a file system that tells nothing of changes.
    pub(super) network: bool,
}

/// Walks one store again and again.
pub(super) struct Lister {
    /// Absolute, as the user would name it.
    root: Arc<Path>,
    cache: Cache,
}

struct Directory {
    shown: PathBuf,
    real: PathBuf,
    whole: bool,
    device: u64,
    is_root: bool,
}

struct Walk<'a> {
    look: &'a Look,
    watches: Option<&'a mut Watches>,
    listing: Listing,
    tally: Tally,
    queue: VecDeque<Directory>,
    /// Directories and files met so far, by their paths without symlinks.
    met: HashMap<PathBuf, Arc<Path>>,
    network: HashMap<u64, bool>,
}

/// What a path turned out to be.
struct Found {
    real: PathBuf,
    metadata: Metadata,
    whole: bool,
}

impl Lister {
    pub(super) fn new(root: Arc<Path>, parse: Parse) -> Self {
        Lister { root, cache: Cache::new(parse) }
    }

    pub(super) fn root(&self) -> &Arc<Path> {
        &self.root
    }

    /// The digest of the bytes from which the newest listing has what it says of a file.
    pub(super) fn digest(&self, path: &Path) -> Option<Digest> {
        self.cache.digest(path)
    }

    /// Walks the store.
    pub(super) fn list(&mut self, look: &Look, watches: Option<&mut Watches>) -> Listing {
        let mut walk = Walk {
            look,
            watches,
            listing: Listing::default(),
            tally: Tally::default(),
            queue: VecDeque::new(),
            met: HashMap::new(),
            network: HashMap::new(),
        };
        let root = Arc::clone(&self.root);
        walk.enter_root(&root);
        while let Some(directory) = walk.queue.pop_front() {
            walk.tally.directory();
            if walk.tally.exceeded().is_none() {
                walk.directory(&directory, &mut self.cache);
            }
            if let Some(most) = walk.tally.exceeded() {
                walk.listing.failures.push(format!(
                    "{} has more than {most}: remove what doesn't belong there, or the link that leads out of it",
                    root.display()
                ));
                break;
            }
        }
        let surplus = walk.tally.surplus(&root);
        let mut listing = walk.listing;
        if listing.failures.is_empty() {
            self.cache.retain(|path| listing.files.contains_key(path));
        }
        listing.ignored.sort();
        listing.ignored.extend(surplus);
        listing
    }
}

impl Walk<'_> {
    fn enter_root(&mut self, root: &Arc<Path>) {
        match self.find(root, false) {
            Ok(found) => {
                if let Some(watches) = &mut self.watches {
                    watches.entry(&found.real);
                }
                self.mount(root, &found);
                self.listing.real_root = Some(found.real.clone());
                self.met.insert(found.real.clone(), Arc::clone(root));
                self.queue.push_back(Directory {
                    shown: root.to_path_buf(),
                    device: found.metadata.dev(),
                    real: found.real,
                    whole: found.whole,
                    is_root: true,
                });
            }
            Err(error) => self.fail(root, &error),
        }
    }

    fn fail(&mut self, path: &Path, error: &io::Error) {
        let failure = format!("{} can't be listed ({error}): {}", path.display(), remedy(error));
        self.listing.failures.push(failure);
    }

    fn ignore(&mut self, path: PathBuf, reason: impl Into<String>) {
        if self.tally.ignored() {
            self.listing.ignored.push(IgnoredFile { path, reason: reason.into() });
        }
    }

    fn directory(&mut self, directory: &Directory, cache: &mut Cache) {
        // Before reading: what comes after is told, what came before is read.
        if let Some(watches) = &mut self.watches {
            watches.directory(&directory.real);
        }
        let entries = fs::read_dir(&directory.real).and_then(|entries| {
            let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
            names.take(self.tally.entries_left()).collect::<io::Result<Vec<_>>>()
        });
        let mut names = match entries {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.is_root => {
                self.listing.unsettled = true;
                self.listing.racing = true;
                return;
            }
            Err(error) => return self.fail(&directory.shown, &error),
        };
        self.tally.entries(names.len());
        names.sort_unstable();
        for name in names {
            let shown = directory.shown.join(&name);
            let Some(name) = name.to_str() else {
                self.ignore(shown, "its name is not UTF-8");
                continue;
            };
            match name::judge(name) {
                Name::Hidden => {}
                Name::Ignored(reason) => self.ignore(shown, reason),
                Name::Manifest => self.entry(directory, shown, name, None, cache),
                Name::NoManifest(reason) => self.entry(directory, shown, name, Some(reason), cache),
            }
        }
    }

    /// An entry that may be a directory or, without a reason against it, a manifest.
    fn entry(
        &mut self,
        directory: &Directory,
        shown: PathBuf,
        name: &str,
        reason: Option<&'static str>,
        cache: &mut Cache,
    ) {
        let path = directory.real.join(name);
        let found = fs::symlink_metadata(&path).and_then(|metadata| {
            if metadata.is_symlink() {
                self.find(&path, directory.whole)
            } else {
                let whole = directory.whole || self.is_whole(&path);
                Ok(Found { real: path, metadata, whole })
            }
        });
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.broken(shown, &error, reason.is_none());
                return;
            }
        };
        if found.metadata.is_dir() {
            self.enter(directory, shown, found);
        } else if let Some(reason) = special(&found.metadata).or(reason) {
            self.ignore(shown, reason);
        } else {
            self.file(Arc::from(shown), &found, cache);
        }
    }

    /// An entry that leads nowhere: a dangling link, a loop of links, or one that went away meanwhile.
    fn broken(&mut self, shown: PathBuf, error: &io::Error, manifest: bool) {
        let is_link = fs::symlink_metadata(&shown).is_ok_and(|metadata| metadata.is_symlink());
        let is_loop = error.raw_os_error() == Some(Errno::ELOOP as i32);
        let message = match error.kind() {
            io::ErrorKind::NotFound if !is_link => {
                self.listing.unsettled = true;
                self.listing.racing = true;
                return;
            }
            io::ErrorKind::NotFound => "a link to nothing: create its target or remove it".to_owned(),
            _ if is_loop => "a loop of symlinks: remove it".to_owned(),
            _ => format!("can't be reached ({error}): {}", remedy(error)),
        };
        if manifest {
            let path: Arc<Path> = Arc::from(shown);
            let problem = problem(&path, message + "; what it provided stays");
            self.listing.files.insert(path, FileState::Unreadable(problem));
        } else if is_loop {
            self.listing.problems.push(problem(&Arc::from(shown), message));
        } else {
            self.ignore(shown, message);
        }
    }

    fn enter(&mut self, parent: &Directory, shown: PathBuf, found: Found) {
        if parent.real.starts_with(&found.real) {
            let message = "a loop: this link leads back to a directory that it is in; remove it".to_owned();
            self.listing.problems.push(problem(&Arc::from(shown), message));
            return;
        }
        if let Some(first) = self.met.get(&found.real) {
            let reason = format!("the same directory as {}", first.display());
            return self.ignore(shown, reason);
        }
        if found.metadata.dev() != parent.device {
            self.mount(&shown, &found);
        }
        self.met.insert(found.real.clone(), Arc::from(shown.as_path()));
        self.queue.push_back(Directory {
            shown,
            real: found.real,
            whole: found.whole,
            device: found.metadata.dev(),
            is_root: false,
        });
    }

    fn file(&mut self, shown: Arc<Path>, found: &Found, cache: &mut Cache) {
        if let Some(first) = self.met.get(&found.real) {
            let reason = format!("the same file as {}", first.display());
            self.listing.twins.push((shown.to_path_buf(), Arc::clone(first)));
            return self.ignore(shown.to_path_buf(), reason);
        }
        if !self.tally.file(found.metadata.len()) {
            return;
        }
        self.met.insert(found.real.clone(), Arc::clone(&shown));
        self.check_network(found);
        let candidate =
            Candidate { shown: &shown, real: &found.real, metadata: &found.metadata, whole: found.whole };
        match cache.judge(&candidate, self.look, &mut self.listing.unsettled) {
            Judged::State(state) => {
                self.listing.files.insert(shown, state);
            }
            Judged::Ignored(reason) => self.ignore(shown.to_path_buf(), reason),
            Judged::Vanished => self.listing.racing = true,
        }
    }

    /// Follows a path to its end, and watches every link on the way.
    fn find(&mut self, path: &Path, whole: bool) -> io::Result<Found> {
        let trail = follow(path);
        if let Some(watches) = &mut self.watches {
            for link in &trail.links {
                watches.entry(link);
            }
            match &trail.end {
                Err(broken) => watches.entry(&broken.at),
                Ok(end) if trail.links.is_empty() || end.is_dir() => {}
                Ok(end) => watches.file(end),
            }
        }
        let real = trail.end.map_err(|broken| broken.source)?;
        let metadata = fs::symlink_metadata(&real)?;
        let whole = whole || self.is_whole(&real) || trail.links.iter().any(|link| self.is_whole(link));
        Ok(Found { real, metadata, whole })
    }

    /// Whether an event said that what has this name now is whole.
    fn is_whole(&self, path: &Path) -> bool {
        matches!(self.look, Look::Prompt { whole } if whole.contains(path))
    }

    fn mount(&mut self, shown: &Path, found: &Found) {
        self.check_network(found);
        let id = DirectoryId {
            device: found.metadata.dev(),
            inode: found.metadata.ino(),
            file_system: file_system(&found.real),
        };
        self.listing.place.directories.insert(shown.to_owned(), id);
    }

    fn check_network(&mut self, found: &Found) {
        let on_network =
            self.network.entry(found.metadata.dev()).or_insert_with(|| is_on_network(&found.real));
        self.listing.network |= *on_network;
    }
}

/// Whether the kernel learns nothing of changes that others make to what is at this path. Blocks as long as the file system does.
pub(crate) fn is_on_network(path: &Path) -> bool {
    NETWORK_FILE_SYSTEMS.contains(&file_system(path))
}

fn file_system(path: &Path) -> i64 {
    statfs(path).map_or(0, |found| found.filesystem_type().0)
}

fn problem(file: &Arc<Path>, message: String) -> Problem {
    Problem {
        severity: Severity::Error,
        file: Arc::clone(file),
        line: 0,
        field: String::new(),
        message,
        object: None,
    }
}
