//! Keeps the logs of this node's pods within bounds.
//!
//! Nobody tells when a log has grown, so they are looked at: as often as the kubelet does (10 s) only while one grows so fast that it matters,
//! and once a minute else. Only containers that the board shows running are turned; those that have ended are removed with their logs. What
//! can't be turned stays as it is and is tried again. Rule: the kubelet's `containerLogMaxSize` and `containerLogMaxFiles`.
//!
//! Files are looked at and moved beside the agent's thread, by one other at a time: a log on a file system that hangs holds up the rotation of
//! logs, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::board::Board;
use crate::complaints::HourlyComplaints;
use crate::config::LogBounds;
use crate::cri::log_path::{LogOwner, log_path};
use crate::cri::log_rotation::{make_room, turn, turn_back};
use crate::cri::{ContainerId, CriClient};
use crate::error_chain::error_chain;

const SOONEST: Duration = Duration::from_secs(10);
const LATEST: Duration = Duration::from_secs(60);

/// The log of a container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Log {
    id: ContainerId,
    path: PathBuf,
}

/// Rotates logs, for ever.
pub(super) async fn keep_within(bounds: LogBounds, board: Arc<Board>, cri: CriClient, pod_logs: PathBuf) {
    let Some(max_size) = bounds.max_size else { return };
    let (mut looked, mut before) = (Instant::now(), BTreeMap::new());
    let mut pause = SOONEST;
    let started = looked;
    let mut complaints = HourlyComplaints::default();
    let mut complain = |log: &Log, problem: &str| {
        let path = log.path.display();
        if complaints.is_due(&format!("{path} {problem}"), started.elapsed()) {
            warn!(log = %path, problem, "a log is not kept within its bounds; it is tried again");
        }
    };
    loop {
        sleep(pause).await;
        let elapsed = looked.elapsed();
        looked = Instant::now();
        let mut now = BTreeMap::new();
        pause = LATEST;
        let logs: Vec<Log> = board.pods().iter().flat_map(|pod| logs_of(pod, &pod_logs)).collect();
        for (log, size) in aside(move || with_sizes(logs)).await.unwrap_or_default() {
            if size.is_none() {
                // Somebody removed it: what the container says goes nowhere until it is made anew.
                if let Err(problem) = reopen(&cri, &log).await {
                    complain(&log, &problem);
                }
            }
            let size = size.unwrap_or(0);
            let grown = size.saturating_sub(before.get(&log.id).copied().unwrap_or(0));
            let mut left = size;
            if size >= max_size {
                match rotate(&cri, &log, bounds.max_files).await {
                    Ok(()) => left = 0,
                    Err(problem) => complain(&log, &problem),
                }
            }
            let size = left;
            pause = pause.min(next_look(grown, elapsed, max_size.saturating_sub(size)));
            now.insert(log.id, size);
        }
        before = now;
    }
}

/// When a log that has grown so much in this time, and goes on so, has filled half of what is left to its bound.
fn next_look(grown: u64, elapsed: Duration, left: u64) -> Duration {
    if grown == 0 {
        return LATEST;
    }
    #[allow(
        clippy::cast_precision_loss,
        reason = "sizes of files are far below 2^52, and this is an estimate"
    )]
    let half_way = elapsed.as_secs_f64() * left as f64 / grown as f64 / 2.0;
    Duration::from_secs_f64(half_way.min(LATEST.as_secs_f64())).clamp(SOONEST, LATEST)
}

/// The logs of the pod's containers that run.
fn logs_of(pod: &Pod, pod_logs: &Path) -> Vec<Log> {
    let directory = LogOwner::of(pod).directory(pod_logs);
    let Some(status) = &pod.status else { return Vec::new() };
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let running =
        all.filter(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()));
    running
        .filter_map(|container| {
            let (_, id) = container.container_id.as_deref()?.split_once("://")?;
            let attempt = u32::try_from(container.restart_count).ok()?;
            Some(Log { id: id.into(), path: directory.join(log_path(&container.name, attempt)) })
        })
        .collect()
}

/// How large each log is, none if it is gone. One that can't be looked at is left out. Blocks.
fn with_sizes(logs: Vec<Log>) -> Vec<(Log, Option<u64>)> {
    let looked = logs.into_iter().map(|log| {
        let size = match fs::metadata(&log.path) {
            Ok(metadata) => Some(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => return None,
        };
        Some((log, size))
    });
    looked.flatten().collect()
}

/// Does what may hang on another thread.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = spawn_blocking(work).await;
    done.inspect_err(|panic| warn!(error = %panic, "looking after logs was interrupted")).ok()
}

/// Turns the log, which is empty then; or says why it isn't.
async fn rotate(cri: &CriClient, log: &Log, max_files: u32) -> Result<(), String> {
    let path = log.path.clone();
    let turned = aside(move || {
        make_room(&path, max_files)?;
        turn(&path, Timestamp::now())
    });
    let rotated = match turned.await {
        Some(Ok(rotated)) => rotated,
        Some(Err(error)) => return Err(format!("it can't be rotated: {}", error_chain(&error))),
        None => return Err("rotating it was interrupted".to_owned()),
    };
    let Err(problem) = reopen(cri, log).await else {
        debug!(log = %log.path.display(), "log rotated");
        return Ok(());
    };
    // The container goes on writing there; the name must be the one that is read.
    let path = log.path.clone();
    match aside(move || turn_back(&rotated, &path)).await {
        Some(Err(error)) => {
            Err(format!("{problem}; and its rotation can't be undone: {}", error_chain(&error)))
        }
        _ => Err(problem),
    }
}

async fn reopen(cri: &CriClient, log: &Log) -> Result<(), String> {
    let reopened = cri.reopen_container_log(&log.id).await;
    reopened.map_err(|error| format!("the runtime does not reopen it: {}", error_chain(&error)))
}

#[cfg(test)]
mod tests;
