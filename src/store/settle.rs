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

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(100);

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    fn settled(writing: &[&str]) -> Look {
        Look::Settled { writing: writing.iter().map(PathBuf::from).collect() }
    }

    fn prompt(whole: &[&str]) -> Look {
        Look::Prompt { whole: whole.iter().map(PathBuf::from).collect() }
    }

    #[test]
    fn without_events_there_is_nothing_to_look_at() {
        let now = Instant::now();
        let mut settle = Settle::new(QUIET);
        assert_eq!(settle.due(now), None);
        assert_eq!(settle.take(now), None);
    }

    #[test]
    fn what_is_whole_is_looked_at_at_once_and_the_rest_after_the_quiet_time() {
        let start = Instant::now();
        let mut settle = Settle::new(QUIET);
        settle.note(Event::Writing("a".into()), start);
        settle.note(Event::Whole("a".into()), after(start, 5));
        settle.note(Event::Whole("b".into()), after(start, 5));
        settle.note(Event::Disturbed, after(start, 6));
        assert_eq!(settle.take(after(start, 6)), Some(prompt(&["a", "b"])));
        assert_eq!(settle.take(after(start, 105)), None);
        assert_eq!(settle.take(after(start, 106)), Some(settled(&[])));
        assert_eq!(settle.take(after(start, 500)), None);
    }

    #[test]
    fn endless_disturbance_puts_a_look_off_ten_times_the_quiet_time_at_most() {
        let start = Instant::now();
        let mut settle = Settle::new(QUIET);
        for step in 0..20 {
            settle.note(Event::Disturbed, after(start, step * 50));
            assert_eq!(settle.take(after(start, step * 50)), None);
        }
        assert_eq!(settle.due(after(start, 999)), Some(after(start, 1000)));
        assert_eq!(settle.take(after(start, 1000)), Some(settled(&[])));
    }

    #[test]
    fn a_file_being_written_is_left_alone_until_it_is_closed_or_long_quiet() {
        let start = Instant::now();
        let mut settle = Settle::new(QUIET);
        settle.note(Event::Writing("a".into()), start);
        settle.note(Event::Writing("b".into()), after(start, 50));
        assert_eq!(settle.take(after(start, 150)), Some(settled(&["a", "b"])));
        settle.note(Event::Whole("a".into()), after(start, 200));
        assert_eq!(settle.take(after(start, 200)), Some(prompt(&["a"])));
        assert_eq!(settle.due(after(start, 200)), Some(after(start, 1050)));
        assert_eq!(settle.take(after(start, 1050)), Some(settled(&[])));
        assert_eq!(settle.due(after(start, 1050)), None);
    }

    #[test]
    fn a_file_written_again_after_closing_is_no_longer_whole() {
        let start = Instant::now();
        let mut settle = Settle::new(QUIET);
        settle.note(Event::Whole("a".into()), start);
        settle.note(Event::Writing("a".into()), start);
        assert_eq!(settle.take(start), Some(prompt(&[])));
    }

    #[test]
    fn a_round_is_a_prompt_look_without_anything_whole() {
        let now = Instant::now();
        let mut settle = Settle::new(QUIET);
        settle.look_round();
        let look = settle.take(now).unwrap();
        assert!(look.is_round());
        settle.note(Event::Whole("a".into()), now);
        assert!(!settle.take(now).unwrap().is_round());
    }
}
