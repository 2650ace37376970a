//! Tells how the store is doing: on the board, in the log, and, where it has to be trusted and is not or removals are held, in Events of the node.
//!
//! Decides nothing, and tells each thing once for as long as it lasts.

mod changes;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use self::changes::Changes;
use crate::board::{Board, EventDraft, EventKind, Metrics, StoreChange, StoreStatus, reference_to};
use crate::boot_time;
use crate::clock::Clock;
use crate::go_duration::GoDuration;
use crate::manifest::{Objects, Problem, Severity};
use crate::store::{Freshness, HeldRemovals, Snapshot};

/// An Event's message is no place for a thousand files; the status has them all.
const LONGEST_MESSAGE: usize = 900;

/// Notes the time of each complete listing of the store, until there are no more.
pub(super) async fn note_listings(mut listings: watch::Receiver<u64>, metrics: Arc<Metrics>) {
    while listings.changed().await.is_ok() {
        metrics.note_store_listed();
    }
}

/// Who tells.
#[derive(Debug)]
pub(super) struct StoreNews {
    source: String,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// What the store had when that was told last.
    objects: Objects,
    /// Why the store was refused when that was told last.
    refused: Option<String>,
    /// What was held when that was told last.
    held: Option<HeldRemovals>,
}

impl StoreNews {
    pub(super) fn new(source: String, board: Arc<Board>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self { source, board, metrics, clock, objects: Objects::default(), refused: None, held: None }
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
        self.warn_of_new(&problems);
        self.board.set_store_status(StoreStatus {
            source: self.source.clone(),
            freshness: snapshot.freshness.clone(),
            refused: snapshot.refused.clone(),
            problems,
            ignored: snapshot.ignored.clone(),
            objects: snapshot.objects.0.len(),
            held: snapshot.held.clone(),
        });
        let removed = self.tell_of_changes(snapshot);
        self.tell_of_held(snapshot, removed);
        self.tell_of_trust(snapshot);
    }

    fn warn_of_new(&self, problems: &[Problem]) {
        let known = self.board.store_status();
        let known: HashSet<&Problem> = known.problems.iter().collect();
        let told = |problem: &&Problem| problem.severity != Severity::Notice && !known.contains(problem);
        problems.iter().filter(told).for_each(|problem| warn!("{problem}"));
    }

    /// Says what is another than before, and how much of it is gone.
    fn tell_of_changes(&mut self, snapshot: &Snapshot) -> usize {
        let changes = Changes::between(&self.objects, &snapshot.objects);
        if changes.is_nothing() {
            return 0;
        }
        self.objects = snapshot.objects.clone();
        let Changes { added, changed, removed } = &changes;
        for (change, group) in
            [(StoreChange::Added, added), (StoreChange::Changed, changed), (StoreChange::Removed, removed)]
        {
            self.metrics.count_store_changes(change, group.count);
        }
        info!(
            added = added.describe(),
            changed = changed.describe(),
            removed = removed.describe(),
            "the store has changed"
        );
        removed.count
    }

    /// Says that removals are held, and that they are believed after all.
    fn tell_of_held(&mut self, snapshot: &Snapshot, removed: usize) {
        if self.held == snapshot.held {
            return;
        }
        if let Some(held) = &snapshot.held {
            let HeldRemovals { cause, objects, .. } = held;
            let until = match held.remaining(boot_time::uptime()) {
                Some(left) => format!(" until {}, or", self.in_seconds(left)),
                None => String::new(),
            };
            let kept = match objects {
                0 => "nothing is removed".to_owned(),
                objects => format!("{objects} objects that the store has no longer are kept"),
            };
            let message = format!("{cause}; {kept}{until} until `daemonlet store confirm`");
            warn!("{message}");
            self.event(EventKind::Warning, "RemovalsHeld", message);
        } else if removed > 0 {
            let message = format!("{removed} objects are gone from {} and are removed here", self.source);
            warn!("{message}");
            self.event(EventKind::Warning, "RemovalsBelieved", message);
        } else {
            info!("no removal is held any more");
        }
        self.held.clone_from(&snapshot.held);
    }

    /// A time by the wall clock, and how far away it is.
    fn in_seconds(&self, left: Duration) -> String {
        let left = Duration::from_secs(left.as_secs());
        format!("{} ({} from now)", self.clock.wall_seconds() + left, GoDuration(left))
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
