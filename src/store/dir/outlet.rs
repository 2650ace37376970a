//! What leaves the store: the newest snapshot to the rest of the agent, and the last good content to the disk.
//!
//! Both only when there is something new. What the task itself has to say (the store doesn't answer, the disk is full) is laid
//! over the newest look here, so that the reader need not know of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::super::last_good::{self, SaveError};
use super::super::reader::{Memory, Seen};
use super::super::{Freshness, Snapshot};
use super::thread::on_thread;
use crate::manifest::{Problem, Severity};

/// What there is to say beside the newest look.
#[derive(Default)]
pub(super) struct Notes {
    /// The store doesn't answer.
    pub(super) stale: Option<String>,
    /// A look broke down.
    pub(super) failed: Option<String>,
    /// The last good content of an earlier run is not used.
    pub(super) not_loaded: Option<String>,
    /// The last good content is not on the disk.
    pub(super) not_saved: Option<String>,
    /// The kernel tells nothing of changes.
    pub(super) not_watched: Option<String>,
}

/// A save under way.
pub(super) type Saving = oneshot::Receiver<Saved>;

/// How a save went, and what it saved.
pub(super) struct Saved {
    result: Result<(), SaveError>,
    snapshot: Arc<Snapshot>,
    memory: Memory,
}

/// Publishes and saves.
pub(super) struct Outlet {
    root: Arc<Path>,
    state_file: PathBuf,
    sender: watch::Sender<Arc<Snapshot>>,
    newest: Arc<Snapshot>,
    memory: Memory,
    /// Whether any listing, now or before a restart, was ever believed.
    known: bool,
    /// An earlier run of the agent has left something, and it can't be used.
    pub(super) forgotten: bool,
    on_disk: Option<(Arc<Snapshot>, Memory)>,
    pub(super) notes: Notes,
}

impl Outlet {
    pub(super) fn new(root: Arc<Path>, state_file: PathBuf, sender: watch::Sender<Arc<Snapshot>>) -> Self {
        Outlet {
            root,
            state_file,
            sender,
            newest: Arc::default(),
            memory: Memory::default(),
            known: false,
            forgotten: false,
            on_disk: None,
            notes: Notes::default(),
        }
    }

    /// Takes what an earlier run of the agent left. Publishes nothing: the store itself may know better in a moment.
    pub(super) async fn load(&mut self) {
        let path = self.state_file.clone();
        let Some(loading) = on_thread("store-load", move || last_good::load(&path)) else {
            self.forgotten = true;
            self.notes.not_loaded =
                Some("the last good content is not loaded: no thread to be had".to_owned());
            return;
        };
        let loaded = loading.await;
        self.forgotten = !matches!(loaded, Ok(Ok(_)));
        match loaded {
            Ok(Ok(Some((objects, memory)))) => {
                self.newest = Arc::new(Snapshot { objects, ..Snapshot::default() });
                self.memory = memory.clone();
                self.known = true;
                self.on_disk = Some((Arc::clone(&self.newest), memory));
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                self.notes.not_loaded = Some(format!(
                    "the last good content is not used: {}; it is replaced at the next complete listing",
                    chain(&error)
                ));
            }
            Err(_) => {
                let note = "the last good content is not used: loading it failed; it is replaced at the next complete listing";
                self.notes.not_loaded = Some(note.to_owned());
            }
        }
    }

    /// What is known, for a reader to go on from; `None` if nothing is.
    pub(super) fn known(&self) -> Option<(Arc<Snapshot>, Memory)> {
        self.known.then(|| (Arc::clone(&self.newest), self.memory.clone()))
    }

    /// Whether something is known that nobody was told yet.
    pub(super) fn owes_first(&self) -> bool {
        self.known && self.sender.borrow().freshness == Freshness::Unknown
    }

    /// Takes what a look brought.
    pub(super) fn take(&mut self, seen: Seen) {
        self.newest = seen.snapshot;
        self.memory = seen.memory;
        self.known = seen.known;
        self.forgotten &= !seen.known;
        self.notes.stale = None;
        self.notes.failed = None;
        self.publish();
    }

    /// Publishes the newest look and the notes laid over it, if that is anything new.
    pub(super) fn publish(&self) {
        let Notes { stale, failed, not_loaded, not_saved, not_watched } = &self.notes;
        let notes: Vec<_> =
            [stale, failed, not_loaded, not_saved, not_watched].into_iter().flatten().collect();
        let mut snapshot = Arc::clone(&self.newest);
        if !notes.is_empty() {
            let changed = Arc::make_mut(&mut snapshot);
            changed.problems.splice(0..0, notes.into_iter().map(|note| self.problem(note)));
            if let (Some(reason), true) = (stale.as_ref().or(failed.as_ref()), self.known) {
                changed.freshness = Freshness::LastGood { reason: reason.clone() };
            }
        }
        self.sender.send_if_modified(|current| {
            let modified = !Arc::ptr_eq(current, &snapshot) && **current != *snapshot;
            // Also when they are equal: the older one's objects can go.
            *current = snapshot;
            modified
        });
    }

    fn problem(&self, note: &str) -> Problem {
        Problem {
            severity: Severity::Warning,
            file: Arc::clone(&self.root),
            line: 0,
            field: String::new(),
            message: format!("store: {note}"),
            object: None,
        }
    }

    /// Saves the newest content on a thread, unless it is saved already or a save is under way.
    pub(super) fn save(&mut self, saving: &mut Option<Saving>) {
        if saving.is_some() || !self.known {
            return;
        }
        if let Some((snapshot, memory)) = &mut self.on_disk
            && snapshot.has_same_objects(&self.newest)
            && *memory == self.memory
        {
            *snapshot = Arc::clone(&self.newest);
            return;
        }
        let path = self.state_file.clone();
        let (snapshot, memory) = (Arc::clone(&self.newest), self.memory.clone());
        *saving = on_thread("store-save", move || {
            let result = last_good::save(&path, &snapshot.objects, &memory);
            Saved { result, snapshot, memory }
        });
    }

    /// Takes note of how a save went (`None`: it broke down), and saves again what came meanwhile.
    pub(super) fn saved(&mut self, saved: Option<Saved>, saving: &mut Option<Saving>) {
        let failure = match saved {
            Some(Saved { result: Ok(()), snapshot, memory }) => {
                self.on_disk = Some((snapshot, memory));
                self.notes.not_loaded = None;
                None
            }
            Some(Saved { result: Err(error), .. }) => Some(chain(&error)),
            None => Some("saving it failed".to_owned()),
        };
        self.notes.not_saved = failure.map(|failure| {
            format!(
                "the last good content is not on the disk: {failure}; until it is, an agent that restarts without the store \
                 goes on with older content: free space there, or correct the path"
            )
        });
        self.publish();
        if self.notes.not_saved.is_none() {
            self.save(saving);
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
