//! The directory store: a task that waits for changes, looks on a thread of its own, and publishes whole snapshots.
//!
//! The task never touches the store's file system: a hung NFS server hangs a thread, and the task says so. It decides nothing:
//! `settle` says when to look, `reader` what is there.

mod settings;
mod thread;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::settings::{DirSettings, PollMode};
use self::thread::{answer, on_thread};
use super::mounts::Mounts;
use super::reader::{Memory, Next, Reader, Seen};
use super::reading::{self, Parse};
use super::settle::{Look, Settle};
use super::watch::Events;
use super::{Freshness, Snapshot, Thresholds, boot, last_good, watch as inotify};
use crate::manifest::{Problem, Severity};

/// At the start, what was known before goes out when the store doesn't answer for so long.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// What failed is tried again after so long, where no event announces that it would work.
const RETRY: Duration = Duration::from_secs(60);

/// The directory store.
pub struct DirStore;

/// What the rest of the agent has of a store.
#[derive(Debug, Clone)]
pub struct StoreHandle {
    /// Whole snapshots, newest only. [`Freshness::Unknown`] until something is known.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    confirm: Arc<Notify>,
}

impl StoreHandle {
    /// Says that what is gone from the store is meant to be gone: ends a hold on removals.
    pub fn confirm_removals(&self) {
        self.confirm.notify_one();
    }
}

impl DirStore {
    /// Starts the store's task; it ends on `shutdown`. Must be called in a tokio runtime.
    pub fn spawn(settings: DirSettings, shutdown: CancellationToken) -> StoreHandle {
        Self::spawn_with(settings, reading::read, shutdown)
    }

    fn spawn_with(settings: DirSettings, parse: Parse, shutdown: CancellationToken) -> StoreHandle {
        let (sender, snapshots) = watch::channel(Arc::<Snapshot>::default());
        let confirm = Arc::new(Notify::new());
        let handle = StoreHandle { snapshots, confirm: Arc::clone(&confirm) };
        let path = std::path::absolute(&settings.path).unwrap_or_else(|_| settings.path.clone());
        let task = Task {
            root: Arc::from(path),
            parse,
            settle: Settle::new(settings.settle),
            settings,
            sender,
            newest: Arc::default(),
            memory: Memory::default(),
            known: false,
            saved: None,
            notes: Notes::default(),
        };
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = task.run(confirm) => {}
            }
        });
        handle
    }
}

/// What there is to say beside the newest look.
#[derive(Default)]
struct Notes {
    stale: Option<String>,
    not_loaded: Option<String>,
    not_saved: Option<String>,
    not_watched: Option<String>,
    failed: Option<String>,
}

struct Task {
    settings: DirSettings,
    root: Arc<Path>,
    parse: Parse,
    sender: watch::Sender<Arc<Snapshot>>,
    settle: Settle,
    newest: Arc<Snapshot>,
    memory: Memory,
    known: bool,
    saved: Option<(Arc<Snapshot>, Memory)>,
    notes: Notes,
}

type Looking = oneshot::Receiver<(Reader, Seen)>;
type Saving = oneshot::Receiver<(Result<(), last_good::SaveError>, Arc<Snapshot>, Memory)>;

impl Task {
    async fn run(mut self, confirm: Arc<Notify>) {
        self.load().await;
        let mut mounts = Mounts::open(&self.root).ok();
        let (mut reader, mut events) = self.reader();
        let mut looking: Option<Looking> = None;
        let mut saving: Option<Saving> = None;
        let mut confirmed = false;
        let mut next = Some(Look::Settled { writing: std::collections::HashSet::new() });
        let mut started = Instant::now();
        let mut round = started + self.settings.relist_interval;
        let mut hold_ends: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if let Some(idle) = reader.take() {
                match next.take().or_else(|| self.settle.take(now.into_std())) {
                    Some(look) => {
                        started = now;
                        let believe = matches!(look, Look::Settled { .. }) && std::mem::take(&mut confirmed);
                        looking = on_thread("store-look", look_with(idle, look, believe));
                    }
                    None => reader = Some(idle),
                }
            }
            if reader.is_none() && looking.is_none() {
                self.notes.failed = Some("the look at the store failed; it is tried again".to_owned());
                self.publish();
                (reader, events) = self.reader();
                next = None;
                round = now + RETRY;
            }
            let due = if reader.is_some() { self.settle.due(now.into_std()) } else { None };
            let patience = self.patience();
            let stale = (looking.is_some() && self.notes.stale.is_none()).then(|| started + patience);
            let wake =
                [due.map(Instant::from_std), Some(round), hold_ends, stale].into_iter().flatten().min();

            tokio::select! {
                happened = happened(events.as_ref()) => match happened {
                    Ok(happened) => {
                        let now = Instant::now().into_std();
                        for event in happened {
                            self.settle.note(event, now);
                        }
                    }
                    Err(error) => {
                        self.notes.not_watched = Some(format!("can't wait for changes ({error}): it is polled"));
                        events = None;
                        round = Instant::now();
                    }
                },
                seen = answer(&mut looking) => {
                    if let Some((back, seen)) = seen {
                        let now = Instant::now();
                        round = now + self.pause(seen.next);
                        hold_ends = seen.hold_ends.map(|remaining| now + remaining);
                        if let (Some(mounts), Some(real)) = (&mut mounts, &seen.real_root) {
                            mounts.also(real);
                        }
                        self.take(seen);
                        reader = Some(back);
                        self.save(&mut saving);
                    }
                }
                saved = answer(&mut saving) => {
                    self.note_saved(saved);
                    if self.notes.not_saved.is_none() {
                        self.save(&mut saving);
                    }
                }
                changed = mounted(mounts.as_mut()) => {
                    if changed.is_err() {
                        mounts = None;
                    }
                    self.settle.disturb(Instant::now().into_std());
                }
                () = confirm.notified() => {
                    confirmed = true;
                    self.settle.disturb(Instant::now().into_std());
                }
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    if round <= now {
                        round = now + self.settings.relist_interval;
                        self.settle.look_round();
                        self.save(&mut saving);
                    }
                    if hold_ends.is_some_and(|end| end <= now) {
                        hold_ends = None;
                        self.settle.disturb(now.into_std());
                    }
                    if stale.is_some_and(|stale| stale <= now) {
                        self.notes.stale = Some(format!(
                            "{} has not answered for {} s: check the server or the disk behind it; what was there stays",
                            self.root.display(), patience.as_secs()
                        ));
                        self.publish();
                    }
                }
            }
        }
    }

    /// Takes what an earlier run of the agent left.
    async fn load(&mut self) {
        let path = self.settings.state_file.clone();
        let mut loading = on_thread("store-load", move || last_good::load(&path));
        match answer(&mut loading).await {
            Some(Ok(Some((objects, memory)))) => {
                self.newest = Arc::new(Snapshot { objects, ..Snapshot::default() });
                self.memory = memory.clone();
                self.known = true;
                self.saved = Some((Arc::clone(&self.newest), memory));
            }
            Some(Ok(None)) => {}
            Some(Err(error)) => {
                self.notes.not_loaded = Some(format!(
                    "the last good content is not used: {}; it is replaced at the next complete listing",
                    chain(&error)
                ));
            }
            None => self.notes.not_loaded = Some("the last good content was not loaded".to_owned()),
        }
    }

    /// A reader that goes on from what is known, and the events that wake it.
    fn reader(&mut self) -> (Option<Reader>, Option<Events>) {
        let watching = match self.settings.poll {
            PollMode::Always => None,
            PollMode::Auto | PollMode::Never => match inotify::open() {
                Ok(watching) => Some(watching),
                Err(error) => {
                    self.notes.not_watched = Some(format!(
                        "can't be watched ({error}): raise the sysctl fs.inotify.max_user_instances; until then it is polled"
                    ));
                    None
                }
            },
        };
        let (events, watches) = watching.unzip();
        let thresholds = Thresholds { hold: self.settings.empty_hold, ..Thresholds::default() };
        let state_file = Arc::from(self.settings.state_file.as_path());
        let mut reader = Reader::new(Arc::clone(&self.root), self.parse, thresholds, watches, state_file);
        if self.known {
            reader.restore(Arc::clone(&self.newest), self.memory.clone());
        }
        (Some(reader), events)
    }

    /// How long until a look that no event asks for.
    fn pause(&self, next: Next) -> Duration {
        let relist = self.settings.relist_interval;
        match (self.settings.poll, next) {
            (PollMode::Always, _) | (PollMode::Auto, Next::Look) => self.settings.poll_interval,
            (_, Next::Retry) => RETRY.min(relist),
            (PollMode::Never, Next::Look) | (_, Next::Event) => relist,
        }
    }

    fn take(&mut self, seen: Seen) {
        self.newest = seen.snapshot;
        self.memory = seen.memory;
        self.known = seen.known;
        self.notes.stale = None;
        self.notes.failed = None;
        if seen.unsettled {
            self.settle.disturb(Instant::now().into_std());
        }
        self.publish();
    }

    /// How long to wait for a look before saying that the store doesn't answer.
    fn patience(&self) -> Duration {
        let first = self.known && self.sender.borrow().freshness == Freshness::Unknown;
        let longest = self.settings.answer_within;
        if first { FIRST_ANSWER.min(longest) } else { longest }
    }

    /// Publishes the newest look and what there is to say beside it, if that is anything new.
    fn publish(&mut self) {
        let notes = &self.notes;
        let mut snapshot = Arc::clone(&self.newest);
        let messages = [&notes.stale, &notes.failed, &notes.not_loaded, &notes.not_saved, &notes.not_watched];
        if messages.iter().any(|message| message.is_some()) {
            let changed = Arc::make_mut(&mut snapshot);
            let problems = messages.into_iter().flatten().map(|message| self.problem(message));
            changed.problems.splice(0..0, problems.collect::<Vec<_>>());
            let blind = notes.stale.as_ref().or(notes.failed.as_ref());
            if let (Some(reason), true) = (blind, self.known) {
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

    fn problem(&self, message: &str) -> Problem {
        Problem {
            severity: Severity::Warning,
            file: Arc::clone(&self.root),
            line: 0,
            field: String::new(),
            message: format!("store: {message}"),
            object: None,
        }
    }

    /// Saves the newest content on a thread, unless it is saved or a save is under way (which comes back here).
    fn save(&mut self, saving: &mut Option<Saving>) {
        if saving.is_some() || !self.known {
            return;
        }
        if let Some((snapshot, memory)) = &mut self.saved
            && snapshot.objects == self.newest.objects
            && *memory == self.memory
        {
            *snapshot = Arc::clone(&self.newest);
            return;
        }
        let (path, snapshot, memory) =
            (self.settings.state_file.clone(), Arc::clone(&self.newest), self.memory.clone());
        *saving = on_thread("store-save", move || {
            (last_good::save(&path, &snapshot.objects, &memory), snapshot, memory)
        });
    }

    fn note_saved(&mut self, saved: Option<(Result<(), last_good::SaveError>, Arc<Snapshot>, Memory)>) {
        self.notes.not_saved = match saved {
            Some((Ok(()), snapshot, memory)) => {
                self.saved = Some((snapshot, memory));
                self.notes.not_loaded = None;
                None
            }
            Some((Err(error), ..)) => Some(format!(
                "the last good content is not saved: {}; free space there, or an agent restarted without the store has older content",
                chain(&error)
            )),
            None => Some("the last good content was not saved".to_owned()),
        };
        self.publish();
    }
}

fn look_with(mut reader: Reader, look: Look, confirmed: bool) -> impl FnOnce() -> (Reader, Seen) + Send {
    move || {
        let seen = reader.look(&look, confirmed, &boot::now());
        (reader, seen)
    }
}

async fn happened(events: Option<&Events>) -> std::io::Result<Vec<super::settle::Event>> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

async fn mounted(mounts: Option<&mut Mounts>) -> std::io::Result<()> {
    match mounts {
        Some(mounts) => mounts.changed().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
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

#[cfg(test)]
mod tests;
