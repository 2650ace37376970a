//! Tells how the store is doing: on the board, in the log, and, where it has to be trusted and is not, in an Event of the node.
//!
//! Decides nothing, and tells each thing once for as long as it lasts.

use std::sync::Arc;

use tracing::{info, warn};

use crate::board::{Board, EventDraft, EventKind, StoreStatus, reference_to};
use crate::clock::Clock;
use crate::manifest::{Problem, Severity};
use crate::store::{Freshness, Snapshot};

/// An Event's message is no place for a thousand files; the status has them all.
const LONGEST_MESSAGE: usize = 900;

/// Who tells.
#[derive(Debug)]
pub(super) struct StoreNews {
    source: String,
    board: Arc<Board>,
    clock: Clock,
    /// Why the store was refused when that was told last.
    refused: Option<String>,
}

impl StoreNews {
    pub(super) fn new(source: String, board: Arc<Board>, clock: Clock) -> Self {
        Self { source, board, clock, refused: None }
    }

    /// Takes what the store says now, and what is wrong with the node's own file.
    pub(super) fn tell(&mut self, snapshot: &Snapshot, node_problems: Vec<Problem>) {
        if snapshot.freshness != Freshness::Unknown {
            self.board.set_met("store");
        } else if let Some(reason) = &snapshot.refused {
            self.board.set_pending("store", reason.as_str());
        }
        let mut problems = node_problems;
        problems.extend(snapshot.problems.iter().cloned());
        let known = self.board.store_status();
        let is_new =
            |problem: &&Problem| !known.problems.contains(problem) && problem.severity != Severity::Notice;
        problems.iter().filter(is_new).for_each(|problem| warn!("{problem}"));
        self.board.set_store_status(StoreStatus {
            source: self.source.clone(),
            freshness: snapshot.freshness.clone(),
            refused: snapshot.refused.clone(),
            problems,
            ignored: snapshot.ignored.clone(),
            objects: snapshot.objects.0.len(),
        });
        self.tell_of_trust(snapshot);
    }

    fn tell_of_trust(&mut self, snapshot: &Snapshot) {
        if self.refused == snapshot.refused {
            return;
        }
        match &snapshot.refused {
            Some(reason) => {
                let goes_on = match snapshot.freshness {
                    Freshness::Unknown => "nothing was good before, so nothing starts",
                    _ => "the last good content goes on",
                };
                warn!(reason, "the store is refused; {goes_on}");
                let reason: String = reason.chars().take(LONGEST_MESSAGE).collect();
                self.event(EventKind::Warning, "StoreRefused", format!("{reason}; {goes_on}"));
            }
            // A store that can't be listed is neither.
            None if snapshot.freshness == Freshness::Current => {
                info!("the store is trusted again");
                let message = format!("{} is trusted again", self.source);
                self.event(EventKind::Normal, "StoreTrusted", message);
            }
            None => return,
        }
        self.refused.clone_from(&snapshot.refused);
    }

    fn event(&self, kind: EventKind, reason: &str, message: String) {
        let Some(node) = self.board.node() else { return };
        self.board.record(EventDraft {
            regarding: reference_to(&*node),
            kind,
            reason: reason.to_owned(),
            message,
            component: "daemonlet",
            at: self.clock.wall(),
        });
    }
}
