//! When to look at the store, and which files may be read then.
//!
//! Pure. A file that was closed after writing or renamed into place is whole and read at once; everything else (creation,
//! writing, deletion) is looked at after a quiet time, for it may be half done. Events decide only *when*, never *what*.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How much longer than the settle time a look is put off at most, and how long an unclosed file must be quiet.
const PATIENCE: u32 = 10;

/// What happened at a path. Paths have no symlink in their directory part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A file was closed after writing, or something was renamed to this name: it is whole.
    Whole(PathBuf),
    /// A file was created or written and is not closed yet.
    /// (Links are created whole: the reader heeds this for regular files only.)
    Writing(PathBuf),
    /// Anything else that a complete look will sort out: deletion, a new directory, lost events.
    Disturbed,
}

/// What the next look may believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// Read only what became whole; remove nothing.
    Prompt {
        /// Files, links and directories that are whole.
        whole: HashSet<PathBuf>,
    },
    /// Read everything that changed, and believe what is gone.
    Settled {
        /// Files that someone is writing right now.
        writing: HashSet<PathBuf>,
    },
}

impl Look {
    /// Whether no event led to it: it may be the only one to notice a change.
    pub(super) fn is_round(&self) -> bool {
        matches!(self, Look::Prompt { whole } if whole.is_empty())
    }
}

/// Collects events until it is time to look.
#[derive(Debug)]
pub(super) struct Settle {
    quiet: Duration,
    whole: HashSet<PathBuf>,
    writing: HashMap<PathBuf, Instant>,
    /// First and last disturbance since the last settled look.
    disturbed: Option<(Instant, Instant)>,
    prompt: bool,
}

impl Settle {
    pub(super) fn new(quiet: Duration) -> Self {
        Settle { quiet, whole: HashSet::new(), writing: HashMap::new(), disturbed: None, prompt: false }
    }

    /// Takes note of an event.
    pub(super) fn note(&mut self, event: Event, now: Instant) {
        match event {
            Event::Whole(path) => {
                self.writing.remove(&path);
                self.whole.insert(path);
                self.prompt = true;
            }
            Event::Writing(path) => {
                self.whole.remove(&path);
                self.writing.insert(path, now);
                self.disturb(now);
            }
            Event::Disturbed => self.disturb(now),
        }
    }

    /// Asks for a settled look after the quiet time.
    pub(super) fn disturb(&mut self, now: Instant) {
        let first = self.disturbed.map_or(now, |(first, _)| first);
        self.disturbed = Some((first, now));
    }

    /// Asks for a look at once that reads only what is known to be whole: a look round.
    pub(super) fn look_round(&mut self) {
        self.prompt = true;
    }

    /// When there will be something to look at, if nothing else happens; in the past if there is now.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if self.prompt {
            return Some(now);
        }
        let settled =
            self.disturbed.map(|(first, last)| (last + self.quiet).min(first + self.quiet * PATIENCE));
        let unclosed = self.writing.values().map(|last| *last + self.quiet * PATIENCE).min();
        [settled, unclosed].into_iter().flatten().min()
    }

    /// The look that is due now, if one is.
    pub(super) fn take(&mut self, now: Instant) -> Option<Look> {
        if self.due(now).is_none_or(|due| due > now) {
            return None;
        }
        if std::mem::take(&mut self.prompt) {
            return Some(Look::Prompt { whole: std::mem::take(&mut self.whole) });
        }
        self.disturbed = None;
        let unclosed = self.quiet * PATIENCE;
        self.writing.retain(|_, last| *last + unclosed > now);
        Some(Look::Settled { writing: self.writing.keys().cloned().collect() })
    }
}
