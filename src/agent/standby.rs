//! An agent that has stepped back: it answers, says why, touches nothing, and waits to be told that it is needed again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{AgentError, REVISIONS_DIR, ThisHost, attended, serve_api};
use crate::api::{self, Changes};
use crate::board::{Board, EventDraft, EventKind, Metrics, StoreStatus, reference_to};
use crate::clock::Clock;
use crate::config::Settings;
use crate::kubelet::standing_back::{FILE, SteppedBack};
use crate::systemd::{ServiceManager, Watchdog};

/// How often the note is looked for where inotify doesn't tell of it, and how often it is said that pods are not looked after.
const SLOW_LOOK: Duration = Duration::from_secs(60);
const LOOKS_A_REMINDER: u32 = 60;

/// How standing by has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The agent was told to end.
    ToldToEnd,
    /// The note is gone.
    TakenOver,
}

/// Stands by until the note is gone, or until `shutdown`.
pub(super) async fn wait(
    settings: &Settings,
    note: &SteppedBack,
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
    let why = note.describe();
    board.set_pending("kubelet", why.as_str());
    let mut this_node = Node::default();
    this_node.metadata.name = Some(name.to_string());
    for (reason, message) in told(note) {
        board.record(EventDraft {
            regarding: reference_to(&this_node),
            kind: EventKind::Warning,
            reason: reason.to_owned(),
            message,
            component: "daemonlet",
            at: clock.wall(),
        });
    }
    warn!("standing by: {why}");

    let ending = shutdown.child_token();
    let (commands, _) = api::command::line();
    let changes = Changes { commands, revisions_dir: settings.root_dir.join(REVISIONS_DIR) };
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let api = serve_api(settings, &board, &metrics, &ending, changes)?;
    let mut watchdog = Watchdog::from_environment();
    ServiceManager.ready(&format!("standing by: {why}"));
    let taken = attended(&mut watchdog, shutdown, taken_over(&settings.root_dir, &why)).await;
    ending.cancel();
    if let Err(problem) = api.await {
        warn!(%problem, "the API ended in disorder");
    }
    Ok(if taken.is_some() { Outcome::TakenOver } else { Outcome::ToldToEnd })
}

/// The Events on the node: that it is the kubelet's, and what could not be handed over.
fn told(note: &SteppedBack) -> Vec<(&'static str, String)> {
    let refused = note.refused.iter().map(|(daemon_set, reasons)| {
        (
            "HandOverRefused",
            format!("DaemonSet {daemon_set} could not be handed over: {}", reasons.join("; ")),
        )
    });
    std::iter::once(("KubeletFound", note.describe())).chain(refused).collect()
}

/// Waits until the note is gone.
async fn taken_over(root_dir: &Path, why: &str) {
    let changed = Arc::new(Notify::new());
    let hint = Arc::clone(&changed);
    let watcher = notify::recommended_watcher(move |_| hint.notify_one());
    // Where there is no inotify the slow look alone makes sure.
    let _watcher = watcher.and_then(|mut watcher| {
        watcher.watch(root_dir, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    let note = root_dir.join(FILE);
    let mut looks: u32 = 0;
    while note.exists() {
        tokio::select! {
            () = changed.notified() => {}
            () = sleep(SLOW_LOOK) => {
                looks += 1;
                if looks.is_multiple_of(LOOKS_A_REMINDER) {
                    warn!("still standing by: {why}");
                }
            }
        }
    }
}
