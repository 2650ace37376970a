//! Who looks after this node's pods: this agent, unless a kubelet is here or was and has not been taken over from.
//!
//! ```text
//!                      a kubelet                     onKubelet
//!  looking after ────────────────────► refuse ──► the agent ends
//!        ▲                             yield ───► standing by ◄─────────────┐
//!        │                             handover ► handing over ◄─► waiting ─┘ for the kubelet to start a pod
//!        └──────────── takeover ───────────┴────────────────────────┘
//! ```
//!
//! What is not "looking after" is on disk ([`SteppedBack`]), so that no restart and no reboot begins a fight.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::hand_over::{self, Progress};
use super::kubelet_watch;
use super::lock::{LockError, StateLock};
use super::standby::{self, Outcome, WaitsFor};
use super::{AgentError, Ended, Purpose, attend};
use crate::clock::Clock;
use crate::config::{OnKubelet, Settings};
use crate::error_chain::error_chain;
use crate::kubelet::Sign;
use crate::kubelet::process::DEFAULT_STATIC_POD_PATH;
use crate::kubelet::standing_back::{Stage, SteppedBack};
use crate::systemd::ServiceManager;

/// How often the lock is tried for, and at what intervals, while `takeover` has it.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Runs the agent in whatever stance, until `shutdown`.
pub(super) async fn run(settings: &Settings, shutdown: &CancellationToken) -> Result<(), AgentError> {
    let mut lock = StateLock::take(&settings.root_dir)?;
    let mut waits_for = None;
    loop {
        let Some(note) = SteppedBack::read(&settings.root_dir)? else {
            let sign = match kubelet_watch::confirmed(&settings.container_runtime_endpoint).await {
                Some(kubelet) => Sign::Process(kubelet),
                None => match attend(settings, Purpose::LookAfter, shutdown).await? {
                    Ended::ToldTo | Ended::Done => return Ok(()),
                    Ended::Kubelet(sign) => sign,
                },
            };
            step_back(settings, sign)?;
            continue;
        };
        if note.stage == Stage::HandingOver && waits_for.is_none() {
            ServiceManager.ready(&note.describe());
            match hand_over::go_on(settings, note, shutdown).await? {
                Progress::ToldToEnd => return Ok(()),
                Progress::Waits(sight) => waits_for = Some(WaitsFor::Change(sight)),
                Progress::Hindered(problem) => waits_for = Some(WaitsFor::Mending(error_chain(&problem))),
                Progress::Done => {}
            }
            continue;
        }
        // `takeover` and `handover` need it.
        drop(lock);
        match standby::wait(settings, &note, waits_for.take(), shutdown).await? {
            Outcome::ToldToEnd => return Ok(()),
            Outcome::GoOn(taken) => lock = taken,
            Outcome::TakenOver => {
                warn!("taken over: this agent looks after the node's pods again");
                lock = take_again(&settings.root_dir).await?;
            }
        }
    }
}

/// Takes note that a kubelet has this node, or refuses to go on.
fn step_back(settings: &Settings, sign: Sign) -> Result<(), AgentError> {
    error!("{sign}; pods are left as they are");
    let stage = match settings.on_kubelet {
        OnKubelet::Refuse => return Err(AgentError::Kubelet(sign)),
        OnKubelet::Yield => Stage::Yielded,
        OnKubelet::HandOver => Stage::HandingOver,
    };
    let mut note = SteppedBack::new(
        stage,
        Clock::start().wall_seconds(),
        sign.to_string(),
        static_pods(settings, Some(&sign)),
    );
    note.pace = hand_over::pace(settings, true);
    Ok(note.write(&settings.root_dir)?)
}

/// Where static pods go.
pub(super) fn static_pods(settings: &Settings, sign: Option<&Sign>) -> PathBuf {
    let told = match sign {
        Some(Sign::Process(kubelet)) => kubelet.static_pod_path.clone(),
        Some(Sign::Pod { .. }) | None => None,
    };
    settings.static_pod_path.clone().or(told).unwrap_or_else(|| PathBuf::from(DEFAULT_STATIC_POD_PATH))
}

async fn take_again(root_dir: &Path) -> Result<StateLock, LockError> {
    let mut tries = 0;
    loop {
        match StateLock::take(root_dir) {
            Err(LockError::Held { .. }) if tries < LOCK_TRIES => tries += 1,
            taken => return taken,
        }
        sleep(LOCK_PAUSE).await;
    }
}
