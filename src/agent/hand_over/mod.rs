//! Makes this node's pods the static pods of a kubelet, one DaemonSet at a time.
//!
//! A pod's manifest is brought to the disk beside its place, the pod is ended, with its hooks and its grace, the manifest is given its name, and then
//! the kubelet is to start it before the next pod that runs is ended: at no moment are there two of one, a folder that can't be written costs
//! no pod, and a kubelet that starts nothing costs the node one. What is being done is on disk before it is done, so that a crash in between loses
//! no pod. Who goes when is [`order`]'s to say. What a static pod can't be is left as it is, and told.

mod order;
mod plan;
pub(super) mod sight;

use std::fs;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::order::Next;
pub use self::plan::{Footing, Step, plan};
use self::sight::{Sight, look};
use super::hints::Hints;
use super::lock::StateLock;
use super::runtime::connect;
use super::stance::static_pods;
use super::{AgentError, Ended, Purpose, attend, attended, kubelet_watch};
use crate::atomic_file::{self, Prepared};
use crate::clock::Clock;
use crate::config::Settings;
use crate::cri::CriClient;
use crate::kubelet::Sign;
use crate::kubelet::standing_back::{Pace, Pending, Stage, Start, SteppedBack, Written, digest};
use crate::manifest::DaemonSetKey;
use crate::systemd::Watchdog;

/// Static pods may hold what is written into environment variables.
const MODE: u32 = 0o600;
/// Between two questions to a runtime that doesn't answer.
const RETRY: Duration = Duration::from_secs(3);

/// How far a hand-over has come.
#[derive(Debug)]
pub(super) enum Progress {
    /// The agent is to end.
    ToldToEnd,
    /// The kubelet is to start what it was given. It was decided on this.
    Waits(Sight),
    /// The kubelet's folder can't be written.
    Hindered(AgentError),
    /// All was handed over that can be.
    Done,
}

/// Hands over because somebody asks for it. No agent may run.
///
/// # Errors
/// When an agent runs, something can't be ended or written, or the kubelet doesn't start what it was given; what was handed over by then is.
pub async fn hand_over(
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<Option<SteppedBack>, AgentError> {
    let _lock = StateLock::take(&settings.root_dir)?;
    let kubelet = kubelet_watch::present(&settings.container_runtime_endpoint).await;
    let pace = pace(settings, kubelet.is_some());
    let mut note = if let Some(known) = SteppedBack::read(&settings.root_dir)? {
        known
    } else {
        let sign = kubelet.map(Sign::Process);
        let why = sign.as_ref().map_or_else(|| "handed over by command".to_owned(), ToString::to_string);
        SteppedBack::new(
            Stage::HandingOver,
            Clock::start().wall_seconds(),
            why,
            static_pods(settings, sign.as_ref()),
        )
    };
    (note.stage, note.pace) = (Stage::HandingOver, pace);
    note.write(&settings.root_dir)?;
    loop {
        let sight = match go_on(settings, note, shutdown).await? {
            Progress::Waits(sight) => sight,
            Progress::Hindered(problem) => return Err(problem),
            Progress::ToldToEnd | Progress::Done => break,
        };
        let deadline = Instant::now() + settings.static_pod_start_deadline;
        let started = tokio::select! {
            changed = changed(settings, &sight) => changed.map(|()| true)?,
            () = sleep_until(deadline) => false,
        };
        let Some(known) = SteppedBack::read(&settings.root_dir)? else { return Ok(None) };
        if !started {
            return Err(AgentError::NotStarted(stuck(&known, settings.static_pod_start_deadline)));
        }
        note = known;
    }
    Ok(SteppedBack::read(&settings.root_dir)?)
}

/// Whether the kubelet's starts are waited for.
pub(super) fn pace(settings: &Settings, has_kubelet: bool) -> Pace {
    if has_kubelet && !settings.static_pod_start_deadline.is_zero() {
        Pace::AfterEachStart
    } else {
        Pace::AtOnce
    }
}

/// What to say when the kubelet doesn't start what it was given.
pub(super) fn stuck(note: &SteppedBack, waited: Duration) -> String {
    let awaited: Vec<String> = note
        .awaited()
        .map(|written| format!("DaemonSet {} ({})", written.daemon_set, written.path.display()))
        .collect();
    format!(
        "the kubelet has not started {} within {} s: see its log, and whether its staticPodPath is {}; hand-over goes on by itself once it has; \
         until then the pods of all other DaemonSets are left running",
        awaited.join(", "),
        waited.as_secs(),
        note.static_pod_path.display()
    )
}

/// Goes on where the note says, for as long as the kubelet need not do anything first.
pub(super) async fn go_on(
    settings: &Settings,
    mut note: SteppedBack,
    shutdown: &CancellationToken,
) -> Result<Progress, AgentError> {
    let root = &settings.root_dir;
    if let Some(end) = end_of(finish_one(settings, &mut note, shutdown).await)? {
        return Ok(end);
    }
    let cri = connect(settings)?;
    let mut watchdog = Watchdog::from_environment();
    let mut steps = plan(settings).await?;
    steps.retain(|step| note.written.iter().all(|written| written.daemon_set != step.daemon_set));
    note.refused.clear();
    for step in &steps {
        if let Err(reasons) = &step.pod {
            warn!(daemonset = %step.daemon_set, ?reasons, "cannot be handed over; its pod, if there is one, is left to the kubelet");
            note.refused.push((step.daemon_set.clone(), reasons.clone()));
        }
    }
    loop {
        let Some(sight) = attended(&mut watchdog, shutdown, seen(&cri)).await else {
            return Ok(Progress::ToldToEnd);
        };
        note_started(&mut note, &sight);
        note.write(root)?;
        match order::next(&note, &steps, &sight) {
            Next::Release(step, start) => {
                let Ok(made) = step.pod else { continue };
                note.pending = Some(Pending {
                    path: note.static_pod_path.join(step.file),
                    text: text(&made.pod, &step.daemon_set),
                    daemon_set: step.daemon_set,
                    start,
                });
                note.write(root)?;
                if let Some(end) = end_of(finish_one(settings, &mut note, shutdown).await)? {
                    return Ok(end);
                }
            }
            Next::Wait => return Ok(Progress::Waits(sight)),
            Next::Done => {
                note.stage = Stage::HandedOver;
                note.write(root)?;
                return Ok(Progress::Done);
            }
        }
    }
}

/// Whether the hand-over ends here for now. A folder that can't be written may be put right by somebody.
fn end_of(finished: Result<bool, AgentError>) -> Result<Option<Progress>, AgentError> {
    match finished {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(Progress::ToldToEnd)),
        Err(problem @ (AgentError::Directory { .. } | AgentError::StaticPod { .. })) => {
            Ok(Some(Progress::Hindered(problem)))
        }
        Err(problem) => Err(problem),
    }
}

/// Takes note of what the kubelet has started.
fn note_started(note: &mut SteppedBack, sight: &Sight) {
    for written in &mut note.written {
        if written.start == Start::Awaited && sight.taken_up.contains(&written.daemon_set) {
            info!(daemonset = %written.daemon_set, "the kubelet has started what was handed over");
            written.start = Start::Seen { at: Clock::start().wall_seconds() };
        }
    }
}

/// Ends the pods of the DaemonSet that is under way, then writes its static pod.
async fn finish_one(
    settings: &Settings,
    note: &mut SteppedBack,
    shutdown: &CancellationToken,
) -> Result<bool, AgentError> {
    let Some(pending) = note.pending.clone() else { return Ok(true) };
    // Before anything is ended: a folder that can't be written must cost no pod.
    let prepared = prepare(&note.static_pod_path, &pending)?;
    let purpose = Purpose::EndPodsOf(pending.daemon_set.clone());
    if attend(settings, purpose, shutdown).await? != Ended::Done {
        return Ok(false);
    }
    prepared.place().map_err(|source| AgentError::StaticPod { path: pending.path.clone(), source })?;
    info!(daemonset = %pending.daemon_set, file = %pending.path.display(), "handed over to the kubelet");
    let sha256 = digest(pending.text.as_bytes());
    note.written.retain(|written| written.path != pending.path);
    note.written.push(Written {
        daemon_set: pending.daemon_set,
        path: pending.path,
        sha256,
        at: Some(Clock::start().wall_seconds()),
        start: pending.start,
    });
    note.pending = None;
    note.write(&settings.root_dir)?;
    Ok(true)
}

/// The static pod, beside its name: a kubelet leaves files alone that begin with a dot.
fn prepare<'a>(directory: &Path, pending: &'a Pending) -> Result<Prepared<'a>, AgentError> {
    fs::create_dir_all(directory)
        .map_err(|source| AgentError::Directory { path: directory.to_owned(), source })?;
    atomic_file::prepare(&pending.path, pending.text.as_bytes(), MODE)
        .map_err(|source| AgentError::StaticPod { path: pending.path.clone(), source })
}

/// Waits until the runtime shows something else than what was decided on.
async fn changed(settings: &Settings, decided_on: &Sight) -> Result<(), AgentError> {
    let cri = connect(settings)?;
    let mut hints = Hints::listen(&cri);
    loop {
        hints.next().await;
        if seen(&cri).await != *decided_on {
            return Ok(());
        }
    }
}

/// What the runtime shows, once it answers.
async fn seen(cri: &CriClient) -> Sight {
    loop {
        match look(cri).await {
            Ok(sight) => return sight,
            Err(problem) => debug!(%problem, "hand-over waits for the container runtime"),
        }
        sleep(RETRY).await;
    }
}

/// The file, with who it comes from.
pub fn text(pod: &Pod, daemon_set: &DaemonSetKey) -> String {
    let mut text = format!(
        "# DaemonSet {daemon_set}, handed over by daemonlet. `daemonlet takeover` removes this file.\n"
    );
    // What came from JSON can be written as YAML, and writing to a String can't fail.
    if let Ok(value) = serde_json::to_value(pod) {
        let _ = serde_saphyr::to_fmt_writer(&mut text, &value);
    }
    text
}
