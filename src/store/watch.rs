//! What the kernel tells of changes: inotify watches on every directory and link that the store's content depends on.
//!
//! Watches are laid while the tree is walked, each before its directory is read, so that nothing slips between. They are keyed
//! by the kernel's watch descriptor, which follows the inode: a directory that was renamed and replaced can't confuse them.
//! inotify(7) tells of unmounting only through `IN_UNMOUNT`, and of nothing on network file systems.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::settle::Event;

/// Entries come, go and are renamed.
const STRUCTURE: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF);
/// Files are written.
const CONTENT: AddWatchFlags =
    AddWatchFlags::IN_MODIFY.union(AddWatchFlags::IN_CLOSE_WRITE).union(AddWatchFlags::IN_ATTRIB);
/// `IN_MASK_ADD`, which nix doesn't name: watch for more, not for something else.
const ADD: AddWatchFlags = AddWatchFlags::from_bits_retain(0x2000_0000);

/// What is watched under one watch descriptor.
#[derive(Debug, Clone)]
struct Watched {
    path: PathBuf,
    names: Names,
}

/// Which names in a directory matter.
#[derive(Debug, Clone)]
enum Names {
    /// Every one: it is a directory of the store.
    All,
    /// These: it holds links that lead into the store.
    Some(HashSet<OsString>),
    /// It is a file.
    File,
}

type Table = HashMap<WatchDescriptor, Watched>;

struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// The side that waits: events, told apart by what they mean for the store.
pub(super) struct Events {
    inotify: AsyncFd<Arc<Descriptor>>,
    table: Arc<Mutex<Table>>,
}

/// The side that walks: lays watches. Its calls may block as long as the file system does.
pub(super) struct Watches {
    inotify: Arc<Descriptor>,
    table: Arc<Mutex<Table>>,
    needed: HashSet<WatchDescriptor>,
    /// The first watch that could not be laid in this walk.
    failure: Option<(PathBuf, Errno)>,
}

/// Opens an inotify instance. Must be called in a tokio runtime.
#[expect(
    deprecated,
    reason = "its successor is unsafe, which is forbidden here; the descriptor is ours and open as long as this lives"
)]
pub(super) fn open() -> io::Result<(Events, Watches)> {
    let inotify = Arc::new(Descriptor(Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?));
    let table = Arc::new(Mutex::new(Table::new()));
    let events = Events {
        inotify: AsyncFd::with_interest(Arc::clone(&inotify), Interest::READABLE)?,
        table: Arc::clone(&table),
    };
    Ok((events, Watches { inotify, table, needed: HashSet::new(), failure: None }))
}

/// One directory that is watched, whatever it is for.
pub(crate) struct DirectoryWatch {
    events: Events,
    /// Its watches last for as long as it does.
    _watches: Watches,
}

impl DirectoryWatch {
    /// Begins to watch. Must be called in a tokio runtime.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let (events, mut watches) = open()?;
        watches.begin();
        watches.directory(dir);
        match watches.finish() {
            None => Ok(Self { events, _watches: watches }),
            Some(problem) => Err(io::Error::other(problem)),
        }
    }

    /// Waits until an entry comes, goes or is written to. Cancel safe.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        self.events.next().await.map(drop)
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Events {
    /// Waits until something happens, and says what. Cancel safe.
    pub(super) async fn next(&self) -> io::Result<Vec<Event>> {
        loop {
            let mut ready = self.inotify.readable().await?;
            match self.inotify.get_ref().0.read_events() {
                Ok(happened) => {
                    let events: Vec<Event> =
                        happened.into_iter().filter_map(|event| self.translate(event)).collect();
                    if !events.is_empty() {
                        return Ok(events);
                    }
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn translate(&self, event: InotifyEvent) -> Option<Event> {
        let mask = event.mask;
        if mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            return Some(Event::Disturbed);
        }
        let mut table = lock(&self.table);
        if mask.contains(AddWatchFlags::IN_IGNORED) {
            return table.remove(&event.wd).map(|_| Event::Disturbed);
        }
        let Some(watched) = table.get(&event.wd) else {
            // The walk that lays this watch has yet to write it down.
            return Some(Event::Disturbed);
        };
        let path = match (&watched.names, event.name) {
            (Names::Some(names), Some(name)) if !names.contains(&name) => return None,
            (Names::All | Names::Some(_), Some(name)) => watched.path.join(name),
            (Names::File, _) => watched.path.clone(),
            (_, None) => return Some(Event::Disturbed),
        };
        let is_directory = mask.contains(AddWatchFlags::IN_ISDIR);
        let whole = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO;
        let writing = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE;
        Some(if mask.intersects(whole) {
            Event::Whole(path)
        } else if mask.intersects(writing) && !is_directory {
            Event::Writing(path)
        } else {
            Event::Disturbed
        })
    }
}

impl Watches {
    /// Begins a walk.
    pub(super) fn begin(&mut self) {
        self.needed.clear();
        self.failure = None;
    }

    /// Watches a directory of the store. The path must have no symlinks.
    pub(super) fn directory(&mut self, path: &Path) {
        self.add(path, STRUCTURE | CONTENT | AddWatchFlags::IN_ONLYDIR, None);
    }

    /// Watches for an entry of this path to come, go or be replaced; only its directory need exist.
    pub(super) fn entry(&mut self, path: &Path) {
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            self.add(parent, STRUCTURE | AddWatchFlags::IN_ONLYDIR, Some(name.to_owned()));
        }
    }

    /// Watches a file outside of the store's own directories.
    pub(super) fn file(&mut self, path: &Path) {
        match self.inotify.0.add_watch(path, CONTENT | AddWatchFlags::IN_DONT_FOLLOW | ADD) {
            Ok(wd) => {
                self.needed.insert(wd);
                lock(&self.table).insert(wd, Watched { path: path.to_owned(), names: Names::File });
            }
            Err(errno) => self.fail(path, errno),
        }
        self.entry(path);
    }

    fn add(&mut self, path: &Path, mask: AddWatchFlags, name: Option<OsString>) {
        let wd = match self.inotify.0.add_watch(path, mask | AddWatchFlags::IN_DONT_FOLLOW | ADD) {
            Ok(wd) => wd,
            Err(errno) => return self.fail(path, errno),
        };
        let first = self.needed.insert(wd);
        let mut table = lock(&self.table);
        let watched = table
            .entry(wd)
            .or_insert_with(|| Watched { path: path.to_owned(), names: Names::Some(HashSet::new()) });
        path.clone_into(&mut watched.path);
        if first && name.is_some() {
            // What an earlier walk wanted of this directory no longer counts.
            watched.names = Names::Some(HashSet::new());
        }
        match (&mut watched.names, name) {
            (names, None) => *names = Names::All,
            (Names::Some(names), Some(name)) => {
                names.insert(name);
            }
            (Names::All | Names::File, Some(_)) => {}
        }
    }

    fn fail(&mut self, path: &Path, errno: Errno) {
        // What vanished under the walk has told so through the watch on its directory.
        if !matches!(errno, Errno::ENOENT | Errno::ENOTDIR) && self.failure.is_none() {
            self.failure = Some((path.to_owned(), errno));
        }
    }

    /// Ends a walk: forgets the watches that it didn't ask for, and says which it couldn't lay, and what to do.
    pub(super) fn finish(&mut self) -> Option<String> {
        let mut table = lock(&self.table);
        table.retain(|wd, _| {
            let needed = self.needed.contains(wd);
            if !needed {
                let _ = self.inotify.0.rm_watch(*wd);
            }
            needed
        });
        let (path, errno) = self.failure.take()?;
        let remedy = match errno {
            Errno::ENOSPC => "raise the sysctl fs.inotify.max_user_watches",
            Errno::EACCES => "let the agent read it",
            _ => "see inotify(7)",
        };
        Some(format!(
            "{} can't be watched ({}): {remedy}; until then it is polled",
            path.display(),
            errno.desc()
        ))
    }
}
