//! What the kernel tells of the folder. A file that somebody is writing is no archive yet: it is one when it is closed or renamed into place.
//!
//! A watch is on one folder, not on its path: the directory above is watched, too, for another that takes its place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tracing::warn;

use super::folder::Place;

/// A watch on one folder.
#[derive(Debug)]
pub(super) struct Watch {
    hint: Arc<Notify>,
    unfinished: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// What is watched; nothing if that can't be.
    place: Option<Place>,
    /// Watches for as long as it is here.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Begins to watch what is at this path now. Blocks.
    pub(super) fn on(folder: &Path) -> Self {
        let hint = Arc::new(Notify::new());
        let unfinished = Arc::new(Mutex::new(BTreeSet::new()));
        let (told, paths, of) = (Arc::clone(&hint), Arc::clone(&unfinished), folder.to_owned());
        let place = Place::now(folder).ok();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let mut paths = paths.lock().unwrap_or_else(PoisonError::into_inner);
            // An error (a full queue, say) may hide a change.
            if event.map_or(true, |event| note(&of, &mut paths, event)) {
                told.notify_one();
            }
        });
        let begun = watcher.map(|mut watcher| {
            if let Some(above) = folder.parent() {
                // Without it, the next look makes sure.
                let _ = watcher.watch(above, RecursiveMode::NonRecursive);
            }
            let result = watcher.watch(folder, RecursiveMode::NonRecursive);
            (watcher, result)
        });
        let (watcher, result) = match begun {
            Ok((watcher, result)) => (Some(watcher), result),
            Err(error) => (None, Err(error)),
        };
        if let Err(error) = &result {
            warn!(%error, folder = %folder.display(), "cannot watch for image archives; looking every minute instead");
        }
        let place = place.filter(|_| result.is_ok());
        Self { hint, unfinished, place, _watcher: watcher }
    }

    /// No watch at all.
    pub(super) fn none() -> Self {
        Self { hint: Arc::default(), unfinished: Arc::default(), place: None, _watcher: None }
    }

    /// Whether changes are told.
    pub(super) fn is_on(&self) -> bool {
        self.place.is_some()
    }

    /// Whether it is this folder whose changes are told.
    pub(super) fn is_of(&self, place: Place) -> bool {
        self.place == Some(place)
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
fn note(folder: &Path, unfinished: &mut BTreeSet<PathBuf>, event: Event) -> bool {
    if event.paths.iter().any(|path| path == folder) {
        // The folder itself has come, gone, or moved.
        let kinds = |kind| {
            matches!(
                kind,
                EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
            )
        };
        return kinds(event.kind);
    }
    // What else is beside it is nobody's business here; a full queue has no paths, and may be about anything.
    if !event.paths.is_empty() && !event.paths.iter().any(|path| path.parent() == Some(folder)) {
        return false;
    }
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
        EventKind::Other => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, RemoveKind};

    use super::*;

    #[test]
    fn a_file_that_is_being_written_waits_until_it_is_closed_or_renamed() {
        let mut unfinished = BTreeSet::new();
        let path = PathBuf::from("/folder/a.tar");
        let mut tell = |kind| {
            let event = Event::new(kind).add_path(path.clone());
            let worth_it = note(Path::new("/folder"), &mut unfinished, event);
            (worth_it, unfinished.contains(&path))
        };
        assert_eq!(tell(EventKind::Create(CreateKind::File)), (false, true));
        assert_eq!(tell(EventKind::Modify(ModifyKind::Data(DataChange::Any))), (false, true));
        assert_eq!(tell(EventKind::Access(AccessKind::Close(AccessMode::Read))), (false, true));
        assert_eq!(tell(EventKind::Access(AccessKind::Close(AccessMode::Write))), (true, false));
        assert_eq!(tell(EventKind::Create(CreateKind::File)), (false, true));
        assert_eq!(tell(EventKind::Modify(ModifyKind::Name(RenameMode::To))), (true, false));
    }

    #[test]
    fn another_folder_in_its_place_is_worth_a_look_and_what_is_beside_it_is_not() {
        let mut unfinished = BTreeSet::new();
        let mut tell = |path: &str, kind| {
            note(Path::new("/state/images"), &mut unfinished, Event::new(kind).add_path(path.into()))
        };
        for kind in [
            EventKind::Create(CreateKind::Folder),
            EventKind::Remove(RemoveKind::Folder),
            EventKind::Modify(ModifyKind::Name(RenameMode::From)),
        ] {
            assert!(tell("/state/images", kind), "{kind:?}");
            assert!(!tell("/state/images.json", kind), "{kind:?}");
        }
        assert!(unfinished.is_empty());
    }

    #[tokio::test]
    async fn a_folder_that_is_replaced_is_told_of_and_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("images");
        std::fs::create_dir(&folder).unwrap();
        let watch = Watch::on(&folder);
        assert!(watch.is_of(Place::now(&folder).unwrap()));
        std::fs::rename(&folder, dir.path().join("old")).unwrap();
        std::fs::create_dir(&folder).unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(10), watch.changed()).await.unwrap();
        assert!(!watch.is_of(Place::now(&folder).unwrap()));
    }

    #[tokio::test]
    async fn a_folder_that_comes_later_is_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("images");
        let watch = Watch::on(&folder);
        assert!(!watch.is_on());
        std::fs::create_dir(&folder).unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(10), watch.changed()).await.unwrap();
    }
}
