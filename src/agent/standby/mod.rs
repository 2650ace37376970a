//! An agent that has stepped back: it answers, says why and what has become of each DaemonSet, touches nothing, and waits to be needed again.
//!
//! That is when the note is gone, as `takeover` removes it; or, amid a hand-over, when the runtime shows something else than what it waits on.

mod daemon_sets;
mod pods;
mod scene;
mod seen;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use self::scene::Scene;
use self::seen::{Eyes, Look};
use super::derived::store_settings;
use super::hand_over::sight::Sight;
use super::hand_over::stuck;
use super::hints::Hints;
use super::lock::{LockError, StateLock};
use super::runtime::connect;
use super::{AgentError, attended, serving, store_news};
use crate::api::{self, Changes};
use crate::board::{Board, Metrics, StoreStatus};
use crate::clock::Clock;
use crate::config::Settings;
use crate::kubelet::standing_back::{Stage, SteppedBack};
use crate::node::host::Host as ThisHost;
use crate::state_dir::StateEntry;
use crate::store::DirStore;
use crate::systemd::{ServiceManager, Watchdog};

/// How often it is said that pods are not looked after.
const REMINDER: Duration = Duration::from_secs(60 * 60);
/// How often the note is looked for where inotify doesn't tell of it.
const SLOW_LOOK: Duration = Duration::from_secs(60);
/// How often a folder is written to that could not be.
const MENDING_RETRY: Duration = Duration::from_secs(30);
/// How often the lock is tried for while another process hands over.
const LOCK_RETRY: Duration = Duration::from_secs(5);

/// What a hand-over that has begun waits for.
#[derive(Debug)]
pub(super) enum WaitsFor {
    /// That the runtime shows something else than this.
    Change(Sight),
    /// That somebody puts this right. It is tried again and again.
    Mending(String),
}

/// How standing by has ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The agent was told to end.
    ToldToEnd,
    /// The note is gone.
    TakenOver,
    /// The hand-over can go on.
    GoOn(StateLock),
}

/// Stands by until the note is gone, until a hand-over has what it `waits_for`, or until `shutdown`.
pub(super) async fn wait(
    settings: &Settings,
    note: &SteppedBack,
    waits_for: Option<WaitsFor>,
    shutdown: &CancellationToken,
) -> Result<Outcome, AgentError> {
    let clock = Clock::start();
    let name = match &settings.node_name {
        Some(name) => name.clone(),
        None => ThisHost::new("/").node_name()?,
    };
    let board = Arc::new(Board::new(name.as_str(), clock.wall()));
    board.set_store_status(StoreStatus {
        source: settings.store.path.display().to_string(),
        ..StoreStatus::default()
    });
    let ending = shutdown.child_token();
    let _ending = ending.clone().drop_guard();
    let (commands, _) = api::command::line();
    let changes = Changes { commands, revisions_dir: StateEntry::Revisions.below(&settings.root_dir) };
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let api = serving::serve(settings, &board, &metrics, &ending, changes)?;
    let cri = connect(settings)?;
    let store = DirStore::spawn(store_settings(settings), ending.clone());
    tokio::spawn(store_news::note_listings(store.listings.clone(), Arc::clone(&metrics)));
    let scene = Scene::new(settings, note.clone(), (board, metrics), clock, store);
    let mut watchdog = Watchdog::from_environment();
    ServiceManager.ready(&format!("standing by: {}", note.describe()));
    warn!("standing by: {}", note.describe());
    let retry_at = matches!(waits_for, Some(WaitsFor::Mending(_))).then(|| Instant::now() + MENDING_RETRY);
    let mut bystander = Bystander {
        settings,
        hints: Hints::listen(&cri),
        eyes: Eyes::new(cri.clone()),
        scene,
        waits_for,
        retry_at,
        look: None,
        stuck_at: None,
    };
    let outcome = attended(&mut watchdog, shutdown, bystander.run()).await;
    ending.cancel();
    if let Err(problem) = api.await {
        warn!(%problem, "the API ended in disorder");
    }
    outcome.unwrap_or(Ok(Outcome::ToldToEnd))
}

struct Bystander<'a> {
    settings: &'a Settings,
    hints: Hints,
    eyes: Eyes,
    scene: Scene,
    waits_for: Option<WaitsFor>,
    /// When it is tried again, whatever hindered it.
    retry_at: Option<Instant>,
    /// What was seen last.
    look: Option<Look>,
    /// When the kubelet has had its time.
    stuck_at: Option<Instant>,
}

impl Bystander<'_> {
    async fn run(&mut self) -> Result<Outcome, AgentError> {
        let root_dir = &self.settings.root_dir;
        let changed = Arc::new(Notify::new());
        // Where there is no inotify the slow look alone makes sure.
        let _watcher = watch(root_dir, &changed).ok();
        let mut reminder = Instant::now() + REMINDER;
        let mut retry_lock = None;
        self.stuck_at = self.deadline();
        if let Some(WaitsFor::Mending(problem)) = &self.waits_for {
            let problem = format!("hand-over can't go on: {problem}; no further pod is ended until it can");
            error!("{problem}");
            self.scene.say_stuck(problem);
        }
        self.scene.check_runtime(&self.eyes).await;
        loop {
            self.scene.show(self.look.as_ref());
            if self.can_go_on() {
                match StateLock::take(root_dir) {
                    Ok(lock) => return Ok(Outcome::GoOn(lock)),
                    Err(LockError::Held { .. }) => retry_lock = Some(Instant::now() + LOCK_RETRY),
                    Err(problem) => return Err(problem.into()),
                }
            }
            tokio::select! {
                () = changed.notified() => {}
                () = tokio::time::sleep(SLOW_LOOK) => {}
                () = until(retry_lock) => retry_lock = None,
                () = until(self.retry_at) => self.retry_at = None,
                () = self.scene.store_changed() => {}
                () = self.hints.next() => self.look().await,
                () = until(self.stuck_at) => {
                    self.stuck_at = None;
                    let problem = stuck(self.scene.note(), self.settings.static_pod_start_deadline);
                    error!("{problem}");
                    self.scene.say_stuck(problem);
                }
                () = sleep_until(reminder) => {
                    reminder = Instant::now() + REMINDER;
                    warn!("still standing by: {}", self.scene.note().describe());
                }
            }
            if !StateEntry::SteppedBack.below(root_dir).exists() {
                return Ok(Outcome::TakenOver);
            }
            self.take_note();
        }
    }

    async fn look(&mut self) {
        match self.eyes.look().await {
            Ok(look) => self.look = Some(look),
            Err(problem) => self.scene.lost_runtime(&self.eyes, &problem),
        }
        self.scene.check_runtime(&self.eyes).await;
    }

    /// Takes up what another process has written.
    fn take_note(&mut self) {
        match SteppedBack::read(&self.settings.root_dir) {
            Ok(Some(note)) if note != *self.scene.note() => {
                self.scene.set_note(note);
                self.stuck_at = self.deadline();
            }
            Ok(_) => {}
            Err(problem) => warn!(%problem, "what was known of the kubelet counts on"),
        }
    }

    fn can_go_on(&self) -> bool {
        if self.scene.note().stage != Stage::HandingOver {
            return false;
        }
        match (&self.waits_for, &self.look) {
            (Some(WaitsFor::Mending(_)), _) => self.retry_at.is_none(),
            (Some(WaitsFor::Change(seen)), Some(look)) => *seen != look.sight,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let deadline = self.settings.static_pod_start_deadline;
        let waits =
            self.scene.note().stage == Stage::HandingOver && self.scene.note().awaited().next().is_some();
        (waits && !deadline.is_zero()).then(|| Instant::now() + deadline)
    }
}

fn watch(dir: &Path, changed: &Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let hint = Arc::clone(changed);
    let mut watcher = notify::recommended_watcher(move |_| hint.notify_one())?;
    watcher.watch(dir, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
