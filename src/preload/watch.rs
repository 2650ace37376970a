//! What the kernel tells of the folder. A file that somebody is writing is no archive yet: it is one when it is closed or renamed into place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tracing::warn;

/// A watch on one folder.
#[derive(Debug)]
pub(super) struct Watch {
    hint: Arc<Notify>,
    unfinished: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// Watches for as long as it is here.
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Begins to watch.
    pub(super) fn on(folder: &Path) -> Self {
        let hint = Arc::new(Notify::new());
        let unfinished = Arc::new(Mutex::new(BTreeSet::new()));
        let (told, paths) = (Arc::clone(&hint), Arc::clone(&unfinished));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let mut paths = paths.lock().unwrap_or_else(PoisonError::into_inner);
            // An error (a full queue, say) may hide a change.
            if event.map_or(true, |event| note(&mut paths, event)) {
                told.notify_one();
            }
        });
        let watcher = watcher.and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let watcher = watcher
            .inspect_err(|error| warn!(%error, folder = %folder.display(), "cannot watch for image archives; looking every minute instead"))
            .ok();
        Self { hint, unfinished, watcher }
    }

    /// Whether changes are told.
    pub(super) fn is_on(&self) -> bool {
        self.watcher.is_some()
    }

    /// Waits until a look is worth it.
    pub(super) async fn changed(&self) {
        self.hint.notified().await;
    }

    /// Whether somebody is writing this file.
    pub(super) fn is_unfinished(&self, path: &Path) -> bool {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }
}

/// Takes note of an event; says whether a look is worth it.
fn note(unfinished: &mut BTreeSet<PathBuf>, event: Event) -> bool {
    match event.kind {
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => {
            // A hard or symbolic link is whole from the beginning.
            let is_link = |path: &PathBuf| {
                use std::os::unix::fs::MetadataExt as _;
                path.symlink_metadata().is_ok_and(|it| it.is_symlink() || it.nlink() > 1)
            };
            let (links, files): (Vec<_>, Vec<_>) = event.paths.into_iter().partition(is_link);
            unfinished.extend(files);
            !links.is_empty()
        }
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both | RenameMode::From))
        | EventKind::Remove(_) => {
            unfinished.retain(|path| !event.paths.contains(path));
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange};

    use super::*;

    #[test]
    fn a_file_that_is_being_written_waits_until_it_is_closed_or_renamed() {
        let mut unfinished = BTreeSet::new();
        let path = PathBuf::from("/folder/a.tar");
        let mut tell = |kind| {
            let worth_it = note(&mut unfinished, Event::new(kind).add_path(path.clone()));
            (worth_it, unfinished.contains(&path))
        };
        assert_eq!(tell(EventKind::Create(CreateKind::File)), (false, true));
        assert_eq!(tell(EventKind::Modify(ModifyKind::Data(DataChange::Any))), (false, true));
        assert_eq!(tell(EventKind::Access(AccessKind::Close(AccessMode::Read))), (false, true));
        assert_eq!(tell(EventKind::Access(AccessKind::Close(AccessMode::Write))), (true, false));
        assert_eq!(tell(EventKind::Create(CreateKind::File)), (false, true));
        assert_eq!(tell(EventKind::Modify(ModifyKind::Name(RenameMode::To))), (true, false));
    }
}
