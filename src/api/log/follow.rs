//! What wakes the reader of a log that is followed: the file changed, the container ended, or nobody listens any more.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use axum::body::Bytes;
use k8s_openapi::api::core::v1::Pod;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::choice::{Choice, status_of};
use crate::api::ApiState;

/// Why a reader goes on, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Wake {
    /// There may be more.
    Changed = 0,
    /// The container has ended: what is there now is all.
    Ended = 1,
    /// Nobody listens any more.
    Closed = 2,
}

/// The reader's end: sleeps until something happens.
#[derive(Debug)]
pub(super) struct Wakes {
    signals: Signals,
    woken: Receiver<()>,
    _watcher: RecommendedWatcher,
}

/// The other end: wakes the reader. One wake that is not yet heard is as good as many.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    state: Arc<AtomicU8>,
    wake: SyncSender<()>,
}

impl Wakes {
    pub(super) fn signals(&self) -> Signals {
        self.signals.clone()
    }

    /// The last thing that happened.
    pub(super) fn state(&self) -> Wake {
        match self.signals.state.load(Ordering::Acquire) {
            0 => Wake::Changed,
            1 => Wake::Ended,
            _ => Wake::Closed,
        }
    }

    /// Sleeps until the next wake.
    pub(super) fn wait(&self) {
        // The sender lives as long as this does, so there is always one to wait for.
        let _ = self.woken.recv();
    }
}

impl Signals {
    pub(super) fn wake(&self, why: Wake) {
        self.state.fetch_max(why as u8, Ordering::AcqRel);
        // Full: the reader has a wake to hear already, and looks at the state only after it.
        let _ = self.wake.try_send(());
    }
}

/// Watches the directory of a log file, in which it is written, renamed away and made anew.
pub(super) fn watch(file: &Path) -> io::Result<Wakes> {
    let (wake, woken) = sync_channel(1);
    let signals = Signals { state: Arc::new(AtomicU8::new(Wake::Changed as u8)), wake };
    let on_event = {
        let signals = signals.clone();
        move |event: notify::Result<notify::Event>| {
            // Reading is an event too. An error may hide one, so it is taken for one.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                signals.wake(Wake::Changed);
            }
        }
    };
    let mut watcher = notify::recommended_watcher(on_event).map_err(into_io)?;
    let directory = file.parent().unwrap_or(file);
    watcher.watch(directory, RecursiveMode::NonRecursive).map_err(into_io)?;
    Ok(Wakes { signals, woken, _watcher: watcher })
}

fn into_io(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(error) => error,
        notify::ErrorKind::PathNotFound => io::ErrorKind::NotFound.into(),
        _ => io::Error::other(error),
    }
}

/// Wakes the reader for the last time: when the container that was chosen runs no more, the client is gone or the agent stops.
pub(super) async fn until_ended(
    state: ApiState,
    pod: Arc<Pod>,
    choice: Choice,
    client: mpsc::Sender<io::Result<Bytes>>,
    signals: Signals,
) {
    let mut changes = state.board.subscribe();
    let ended = async {
        while is_running(&state, &pod, &choice) {
            if let Err(RecvError::Closed) = changes.recv().await {
                return;
            }
        }
    };
    let why = tokio::select! {
        () = ended => Wake::Ended,
        () = client.closed() => Wake::Closed,
        () = state.shutdown.cancelled() => Wake::Closed,
    };
    signals.wake(why);
}

/// Whether the very container whose log is read still runs.
fn is_running(state: &ApiState, pod: &Pod, choice: &Choice) -> bool {
    let metadata = &pod.metadata;
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let Some(now) = state.board.pod(namespace.unwrap_or_default(), name.unwrap_or_default()) else {
        return false;
    };
    let (then, now_status) = (status_of(pod, &choice.container), status_of(&now, &choice.container));
    now.metadata.uid == metadata.uid
        && now_status.is_some_and(|status| {
            status.state.as_ref().is_some_and(|state| state.running.is_some())
                && then.is_some_and(|then| then.container_id == status.container_id)
        })
}
