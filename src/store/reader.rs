//! One look at the store: list, ask whether it is trusted, merge, ask the guard. What it remembers between looks is all the store's state.
//!
//! It blocks as long as the file system does, and is handed to a thread of its own for each look.

mod telling;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::guard::{Cause, Evidence, Hold, Place, Thresholds, Verdict, judge};
use super::listing::{Lister, Listing};
use super::merge::{Merged, Removals, merge};
use super::reading::Parse;
use super::settle::Look;
use super::trust::{self, Grounds, Refusal, TrustSettings};
use super::watch::Watches;
use super::{Freshness, Snapshot};
use crate::boot_time::BootTime;
use crate::manifest::{Kind, Problem, Severity};

/// What is kept on disk beside the objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Memory {
    /// Where the store was when it was last believed; `None` if it never was.
    pub(super) place: Option<Place>,
    /// The hold on removals, if there is one.
    pub(super) hold: Option<Hold>,
    /// When the newest list was signed that ever vouched for the store, in seconds since 1970.
    pub(super) signed: Option<u64>,
}

/// What an operator has said since the last settled look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// What is gone is meant to be.
    pub(super) removals_are_meant: bool,
    /// A signed list that is older than one before is meant.
    pub(super) older_is_meant: bool,
}

/// What a look brought.
pub(super) struct Seen {
    /// The store's content as it may be used.
    pub(super) snapshot: Arc<Snapshot>,
    /// The store's root by a path without symlinks, if it is there.
    pub(super) real_root: Option<PathBuf>,
    /// Whether any listing, now or before a restart, was ever believed.
    pub(super) known: bool,
    /// What to remember with it.
    pub(super) memory: Memory,
    /// The listing was complete.
    pub(super) complete: bool,
    /// Look again after the settle time.
    pub(super) unsettled: bool,
    /// Look again after this time, when a hold ends.
    pub(super) hold_ends: Option<Duration>,
    /// What will tell of the next change.
    pub(super) next: Next,
}

/// What will tell of the next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// An event.
    Event,
    /// In some part of the store, nothing but a look.
    Look,
    /// Perhaps nothing: the listing failed.
    Retry,
}

/// Looks at one store.
pub(super) struct Reader {
    lister: Lister,
    thresholds: Thresholds,
    watches: Option<Watches>,
    /// What vouches for the store; none: everything in it counts.
    trust: Option<TrustSettings>,
    previous: Arc<Snapshot>,
    memory: Memory,
    /// Whether some listing was ever complete, now or before a restart.
    known: bool,
    /// Something ran before, and what it was can't be known any more.
    forgotten: bool,
    /// Why the store is not trusted now, once that has been told.
    refused: Option<Refusal>,
}

/// Whether what a listing found may be used.
enum Standing {
    /// All of it.
    Trusted,
    /// Nothing of it: this is what was wrong when the store was last quiet.
    Refused(Refusal),
    /// Nothing of it yet: it is changing, and a settled look will know more.
    Undecided,
}

impl Reader {
    pub(super) fn new(
        root: Arc<Path>,
        parse: Parse,
        thresholds: Thresholds,
        watches: Option<Watches>,
        trust: Option<TrustSettings>,
    ) -> Self {
        Reader {
            lister: Lister::new(root, parse),
            thresholds,
            watches,
            trust,
            previous: Arc::default(),
            memory: Memory::default(),
            known: false,
            forgotten: false,
            refused: None,
        }
    }

    /// Begins from what was known before a restart.
    pub(super) fn restore(&mut self, previous: Arc<Snapshot>, memory: Memory) {
        self.forgotten = memory.hold.as_ref().is_some_and(|hold| matches!(hold.cause, Cause::Forgotten(_)));
        self.previous = previous;
        self.memory = memory;
        self.known = true;
    }

    /// Begins with nothing, though there was something before a restart.
    pub(super) fn forget(&mut self) {
        self.forgotten = true;
    }

    /// Looks.
    pub(super) fn look(&mut self, look: &Look, said: Said, now: &BootTime) -> Seen {
        if let Some(watches) = &mut self.watches {
            watches.begin();
            if let Some(trust) = &self.trust {
                watches.file(&trust.trust_file);
                watches.entry(&trust.bundles);
            }
        }
        let previous = Arc::clone(&self.previous);
        let mut listing = self.lister.list(look, self.watches.as_mut());
        let unwatched = self.watches.as_mut().and_then(Watches::finish);
        let next = if listing.network || unwatched.is_some() || self.watches.is_none() {
            Next::Look
        } else if listing.failures.is_empty() {
            Next::Event
        } else {
            Next::Retry
        };
        if let Some(unwatched) = unwatched {
            listing.problems.push(self.problem(Severity::Warning, &unwatched));
        }

        match self.standing(look, &mut listing, said) {
            Standing::Trusted => {}
            Standing::Refused(refusal) => return self.refuse(listing, refusal, next, now),
            Standing::Undecided => {
                let unsettled = listing.unsettled;
                return self.seen(listing.real_root, true, unsettled, None, next);
            }
        }
        let settled = matches!(look, Look::Settled { .. });
        let complete = listing.failures.is_empty();
        let mut merged = merge(&previous.objects, &listing.files, Removals::Held);
        if complete && settled && !listing.racing {
            match self.judge(&listing, &merged, said.removals_are_meant, now) {
                Verdict::Believe => {
                    if !merged.absent.is_empty() {
                        merged = merge(&previous.objects, &listing.files, Removals::Believed);
                    }
                    self.memory.place = Some(listing.place.clone());
                    self.memory.hold = None;
                    self.known = true;
                    self.forgotten = false;
                }
                Verdict::Hold { hold } => {
                    // What is there counts, also while nobody knows what is missing.
                    self.known |= self.forgotten;
                    self.forgotten = matches!(hold.cause, Cause::Forgotten(_));
                    self.memory.hold = Some(hold);
                }
            }
        } else {
            // Only a settled look removes anything, ends a hold, or takes the store for a new one.
            let settles = !merged.absent.is_empty()
                || self.memory.hold.is_some()
                || self.forgotten
                || self.memory.place.as_ref() != Some(&listing.place);
            listing.unsettled |= complete && settles;
        }
        let hold_ends = self.memory.hold.as_ref().and_then(|hold| hold.remaining(now, &self.thresholds));
        let freshness = self.freshness(&listing.failures);
        let problems = self.problems(merged.problems, listing.problems, &listing.failures, &freshness);
        let snapshot = Snapshot {
            objects: merged.objects,
            problems,
            ignored: listing.ignored,
            freshness,
            refused: None,
            unusable: merged.unusable,
            held: self.held(now),
        };
        self.replace(snapshot);
        self.seen(listing.real_root, complete, listing.unsettled, hold_ends, next)
    }

    fn replace(&mut self, snapshot: Snapshot) {
        if *self.previous != snapshot {
            self.previous = Arc::new(snapshot);
        }
    }

    fn seen(
        &self,
        real_root: Option<PathBuf>,
        complete: bool,
        unsettled: bool,
        hold_ends: Option<Duration>,
        next: Next,
    ) -> Seen {
        Seen {
            snapshot: Arc::clone(&self.previous),
            real_root,
            known: self.known,
            memory: self.memory.clone(),
            complete,
            unsettled,
            hold_ends,
            next,
        }
    }

    /// Whether what the listing found may be used. Where it may, that is remembered.
    fn standing(&mut self, look: &Look, listing: &mut Listing, said: Said) -> Standing {
        let Some(trust) = &self.trust else { return Standing::Trusted };
        listing.ignored.retain(|ignored| !trust::is_own_file(self.lister.root(), &ignored.path));
        if !listing.failures.is_empty() {
            // What can't be listed can't be compared either. The failures say so.
            return Standing::Refused(Refusal::default());
        }
        let context = trust::Context { newest: self.memory.signed, older_is_meant: said.older_is_meant };
        let refusal = match trust::ask(trust, &self.lister, listing, context) {
            Ok(Grounds { signed }) => {
                // An older list that is meant counts from now on, too.
                self.memory.signed = signed;
                self.refused = None;
                return Standing::Trusted;
            }
            Err(refusal) => refusal,
        };
        if self.refused.as_ref() == Some(&refusal) {
            return Standing::Refused(refusal);
        }
        if matches!(look, Look::Settled { .. }) && !listing.racing {
            return Standing::Refused(refusal);
        }
        listing.unsettled = true;
        Standing::Undecided
    }

    /// Uses nothing of a listing, and says why.
    fn refuse(&mut self, listing: Listing, refusal: Refusal, next: Next, now: &BootTime) -> Seen {
        let mut problems = listing.problems;
        problems.extend(listing.failures.iter().map(|failure| self.problem(Severity::Error, failure)));
        problems.extend(refusal.findings().map(|(path, fault)| Problem {
            file: Arc::from(self.lister.root().join(path)),
            message: fault.to_string(),
            ..self.problem(Severity::Error, "")
        }));
        let problems = self.bounded(problems);
        let failed = (!listing.failures.is_empty()).then(|| listing.failures.join("; "));
        let reason = failed.unwrap_or_else(|| refusal.to_string());
        let freshness =
            if self.known { Freshness::LastGood { reason: reason.clone() } } else { Freshness::Unknown };
        let refused = listing.failures.is_empty().then_some(reason);
        let objects = self.previous.objects.clone();
        let unusable = self.previous.unusable.clone();
        let held = self.held(now);
        self.replace(Snapshot {
            objects,
            problems,
            ignored: listing.ignored,
            freshness,
            refused,
            unusable,
            held,
        });
        self.refused = listing.failures.is_empty().then_some(refusal);
        // Keys whose directory has yet to be made can't be watched: what puts this right may be told by nothing.
        let next = if next == Next::Event { Next::Retry } else { next };
        self.seen(listing.real_root, listing.failures.is_empty(), listing.unsettled, None, next)
    }

    fn judge(&self, listing: &Listing, merged: &Merged, confirmed: bool, now: &BootTime) -> Verdict {
        if confirmed {
            return Verdict::Believe;
        }
        let evidence = Evidence {
            before: self.previous.objects.0.keys().filter(|key| key.kind == Kind::DaemonSet).count(),
            vanishing: &merged.absent,
            files: &listing.files,
            place_before: self.memory.place.as_ref(),
            place: &listing.place,
            forgotten: self.forgotten,
        };
        judge(&evidence, self.memory.hold.as_ref(), now, &self.thresholds)
    }
}
