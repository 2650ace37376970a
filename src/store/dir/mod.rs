//! The directory store: a task that waits for changes, looks on a thread of its own, and publishes whole snapshots.
//!
//! The task never touches the store's file system: a hung NFS server hangs a thread, and the task says so. It decides nothing:
//! `settle` says when to look, `reader` what is there.

mod outlet;
mod settings;
mod thread;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::outlet::{Outlet, Saving};
pub use self::settings::{DirSettings, PollMode};
use self::thread::answer;
pub(super) use self::thread::on_thread;
use super::mounts::Mounts;
use super::reader::{Next, Reader, Said, Seen};
use super::reading::{self, Parse};
use super::settle::{Look, Settle};
use super::watch::Events;
use super::{Snapshot, Thresholds, watch as inotify};
use crate::boot_time::BootTime;

/// At the start, what was known before goes out when the store doesn't answer for so long.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// What failed is tried again after so long, where no event announces that it would work.
const RETRY: Duration = Duration::from_secs(60);

/// The directory store.
pub struct DirStore;

/// What the rest of the agent has of a store.
#[derive(Debug, Clone)]
pub struct StoreHandle {
    /// Whole snapshots, newest only. [`Freshness::Unknown`](super::Freshness::Unknown) until something is known.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Counts the complete listings; its newest change is the time of the last.
    pub listings: watch::Receiver<u64>,
    says: Arc<Operator>,
}

/// What an operator says, until a settled look has heard it.
#[derive(Debug, Default)]
struct Operator {
    said: Mutex<Said>,
    speaks: Notify,
}

impl Operator {
    fn say(&self, what: impl FnOnce(&mut Said)) {
        what(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
        self.speaks.notify_one();
    }

    /// What a look has to heed.
    fn heard(&self, look: &Look) -> Said {
        match look {
            Look::Settled { .. } => {
                std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Look::Prompt { .. } => Said::default(),
        }
    }
}

impl StoreHandle {
    /// Says that what is gone from the store is meant to be gone: ends a hold on removals.
    pub fn confirm_removals(&self) {
        self.says.say(|said| said.removals_are_meant = true);
    }

    /// Says that the store's signed list is meant, though it is older than one before.
    pub fn allow_older(&self) {
        self.says.say(|said| said.older_is_meant = true);
    }
}

impl DirStore {
    /// Starts the store's task; it ends on `shutdown`. Must be called in a tokio runtime.
    pub fn spawn(settings: DirSettings, shutdown: CancellationToken) -> StoreHandle {
        Self::spawn_with(settings, reading::read, shutdown)
    }

    fn spawn_with(settings: DirSettings, parse: Parse, shutdown: CancellationToken) -> StoreHandle {
        let (sender, snapshots) = watch::channel(Arc::<Snapshot>::default());
        let says = Arc::<Operator>::default();
        let (listings, listings_seen) = watch::channel(0);
        let handle = StoreHandle { snapshots, listings: listings_seen, says: Arc::clone(&says) };
        let root: Arc<Path> =
            std::path::absolute(&settings.path).map_or_else(|_| settings.path.as_path().into(), Arc::from);
        let task = Task {
            parse,
            settle: Settle::new(settings.settle),
            outlet: Outlet::new(Arc::clone(&root), settings.state_file.clone(), sender),
            root,
            settings,
            listings,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = task.run(says) => {}
            }
        });
        handle
    }
}

struct Task {
    settings: DirSettings,
    root: Arc<Path>,
    parse: Parse,
    settle: Settle,
    outlet: Outlet,
    listings: watch::Sender<u64>,
}

type Looking = oneshot::Receiver<(Reader, Seen)>;

impl Task {
    async fn run(mut self, says: Arc<Operator>) {
        self.outlet.load().await;
        let mut mounts = Mounts::open(&self.root).ok();
        let (mut reader, mut events) = self.reader();
        let mut looking: Option<Looking> = None;
        let mut saving: Option<Saving> = None;
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
                        let heard = says.heard(&look);
                        looking = on_thread("store-look", look_with(idle, look, heard));
                    }
                    None => reader = Some(idle),
                }
            }
            if reader.is_none() && looking.is_none() {
                self.outlet.notes.failed = Some("the look at the store failed; it is tried again".to_owned());
                self.outlet.publish();
                (reader, events) = self.reader();
                next = None;
                round = now + RETRY;
            }
            let due = if reader.is_some() { self.settle.due(now.into_std()) } else { None };
            let patience = self.patience();
            let stale = (looking.is_some() && self.outlet.notes.stale.is_none()).then(|| started + patience);
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
                                    self.outlet.notes.not_watched = Some(format!("can't wait for changes ({error}): it is polled"));
                                    events = None;
                                    round = Instant::now();
                                }
                            },
                            seen = answer(&mut looking) => {
                                if let Some((back, seen)) = seen {
                                    if seen.complete {
                                        self.listings.send_modify(|count| *count += 1);
                                    }
                                    let now = Instant::now();
                                    round = now + self.pause(seen.next);
                                    hold_ends = seen.hold_ends.map(|remaining| now + remaining);
                                    if let (Some(mounts), Some(real)) = (&mut mounts, &seen.real_root) {
                                        mounts.also(real);
                                    }
                                    if seen.unsettled {
                                        self.settle.disturb(now.into_std());
                                    }
                                    self.outlet.take(seen);
                                    reader = Some(back);
                                    self.outlet.save(&mut saving);
                                }
                            }
                            saved = answer(&mut saving) => {
                                self.outlet.saved(saved, &mut saving);
                                if self.outlet.notes.not_saved.is_some() {
                                    round = round.min(Instant::now() + RETRY);
                                }
                            }
                            changed = mounted(mounts.as_mut()) => {
                                if changed.is_err() {
                                    mounts = None;
                                }
                                self.settle.disturb(Instant::now().into_std());
                            }
                            () = says.speaks.notified() => self.settle.disturb(Instant::now().into_std()),
                            () = sleep_until(wake) => {
                                let now = Instant::now();
                                if round <= now {
                                    round = now + self.settings.relist_interval;
                                    self.settle.look_round();
                                    self.outlet.save(&mut saving);
                                }
                                if hold_ends.is_some_and(|end| end <= now) {
                                    hold_ends = None;
                                    self.settle.disturb(now.into_std());
                                }
                                if stale.is_some_and(|stale| stale <= now) {
            self.say_stale(patience);
                                }
                            }
                        }
        }
    }

    /// A reader that goes on from what is known, and the events that wake it.
    fn reader(&mut self) -> (Option<Reader>, Option<Events>) {
        self.outlet.notes.not_watched = None;
        let watching = match self.settings.poll {
            PollMode::Always => None,
            PollMode::Auto | PollMode::Never => match inotify::open() {
                Ok(watching) => Some(watching),
                Err(error) => {
                    self.outlet.notes.not_watched = Some(format!(
                        "can't be watched ({error}): raise the sysctl fs.inotify.max_user_instances; until then it is polled"
                    ));
                    None
                }
            },
        };
        let (events, watches) = watching.unzip();
        let thresholds = Thresholds { hold: self.settings.empty_hold, ..Thresholds::default() };
        let mut reader =
            Reader::new(Arc::clone(&self.root), self.parse, thresholds, watches, self.settings.trust.clone());
        if let Some((snapshot, memory)) = self.outlet.known() {
            reader.restore(snapshot, memory);
        } else if self.outlet.forgotten {
            reader.forget();
        }
        (Some(reader), events)
    }

    /// How long until a look that no event asks for.
    fn pause(&self, next: Next) -> Duration {
        let relist = match self.outlet.notes.not_saved {
            Some(_) => RETRY.min(self.settings.relist_interval),
            None => self.settings.relist_interval,
        };
        let next = if self.outlet.notes.not_watched.is_some() { Next::Look } else { next };
        match (self.settings.poll, next) {
            (PollMode::Always, _) | (PollMode::Auto, Next::Look) => self.settings.poll_interval,
            (_, Next::Retry) => RETRY.min(relist),
            (PollMode::Never, Next::Look) | (_, Next::Event) => relist,
        }
    }

    fn say_stale(&mut self, waited: Duration) {
        self.outlet.notes.stale = Some(format!(
            "{} has not answered for {} s: check the server or the disk behind it; what was there stays",
            self.root.display(),
            waited.as_secs()
        ));
        self.outlet.publish();
    }

    /// How long to wait for a look before saying that the store doesn't answer.
    fn patience(&self) -> Duration {
        let longest = self.settings.answer_within;
        if self.outlet.owes_first() { FIRST_ANSWER.min(longest) } else { longest }
    }
}

fn look_with(mut reader: Reader, look: Look, said: Said) -> impl FnOnce() -> (Reader, Seen) + Send {
    move || {
        let seen = reader.look(&look, said, &BootTime::now());
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

#[cfg(test)]
mod tests;
