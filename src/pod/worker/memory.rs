//! What a worker remembers between two plans: crash-loop back-offs, and starts that failed before there was a container.
//!
//! Lost with the agent, except for the crash-loop back-off, which is taken up again from the restart counts that the runtime keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::backoff::{Backoff, BackoffPolicy};
use crate::clock::Clock;
use crate::cri::{ContainerId, SandboxId};
use crate::pod::observed::{Container, Observed, SandboxState};
use crate::pod::plan;
use crate::pod::status::Waiting;

/// How long a start that failed for its configuration waits for another try, unless the store changes before (`backOffPeriod`).
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// The waits of a sandbox that can't be made or keeps dying: CNI comes and goes, so they start low.
const SANDBOX_POLICY: (Duration, Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(60), Duration::from_secs(600));

/// The memory of one pod's worker.
#[derive(Debug)]
pub(super) struct Memory {
    clock: Clock,
    restarts: BackoffPolicy,
    sandboxes: Option<BackoffPolicy>,
    containers: BTreeMap<String, Remembered>,
    sandbox: Backoff,
    /// The sandbox that last died, or that none could be made, and when.
    sandbox_ended: Option<(Option<SandboxId>, Duration)>,
}

#[derive(Debug, Default)]
struct Remembered {
    backoff: Backoff,
    /// The newest instance that was seen to have ended, and when by our clock.
    ended: Option<(ContainerId, Duration)>,
    failure: Option<Failure>,
}

/// A start that failed.
#[derive(Debug, Clone)]
struct Failure {
    waiting: Waiting,
    retry_at: Duration,
}

impl Memory {
    pub(super) fn new(clock: Clock, restarts: BackoffPolicy) -> Self {
        let (initial, max, reset_after) = SANDBOX_POLICY;
        let sandboxes = BackoffPolicy::new(initial, max, reset_after).ok();
        Self {
            clock,
            restarts,
            sandboxes,
            containers: BTreeMap::new(),
            sandbox: Backoff::default(),
            sandbox_ended: None,
        }
    }

    /// Notes the containers that have ended since the last look. An end that was not seen to happen is dated by the wall clock,
    /// within bounds, and takes up the back-off that its restart count speaks of.
    pub(super) fn note_ends(&mut self, observed: &Observed) {
        if let Some(dead) = observed.sandbox().filter(|sandbox| sandbox.state == SandboxState::NotReady) {
            let known = self.sandbox_ended.as_ref().is_some_and(|(id, _)| id.as_ref() == Some(&dead.id));
            if !known {
                self.sandbox_ended = Some((Some(dead.id.clone()), self.clock.monotonic()));
            }
        }
        let mut seen = BTreeSet::new();
        for container in &observed.containers {
            let Some(exit) = container.exit() else { continue };
            if !seen.insert(container.name.as_str()) {
                continue;
            }
            let known = self.containers.entry(container.name.clone()).or_default();
            if known.ended.as_ref().is_some_and(|(id, _)| *id == container.id) {
                continue;
            }
            let ago = self.clock.ago(exit.finished_at, self.restarts.max());
            let ended = self.clock.monotonic().saturating_sub(ago);
            if known.ended.is_none() && known.backoff == Backoff::default() {
                known.backoff = resumed(&self.restarts, container, ended);
            }
            known.ended = Some((container.id.clone(), ended));
        }
    }

    /// Counts a (re)start of a container whose newest instance has ended.
    pub(super) fn note_restart(&mut self, name: &str) {
        let now = self.clock.monotonic();
        if let Some(known) = self.containers.get_mut(name)
            && let Some((_, ended)) = known.ended
        {
            known.backoff.raise(&self.restarts, ended, now);
        }
    }

    /// Remembers a start that failed. `after` is when to try again; the kubelet's usual wait if nothing better is known.
    pub(super) fn note_failure(&mut self, name: &str, waiting: Waiting, after: Option<Duration>) {
        let retry_at = self.clock.monotonic() + after.unwrap_or(RETRY_AFTER);
        self.containers.entry(name.to_owned()).or_default().failure = Some(Failure { waiting, retry_at });
    }

    /// Forgets a failure: the container has started.
    pub(super) fn note_success(&mut self, name: &str) {
        if let Some(known) = self.containers.get_mut(name) {
            known.failure = None;
        }
    }

    /// Lets everything that failed be tried at once: what it lacked may be there now.
    pub(super) fn retry_failures(&mut self) {
        self.sandbox = Backoff::default();
        let now = self.clock.monotonic();
        for failure in self.containers.values_mut().filter_map(|known| known.failure.as_mut()) {
            failure.retry_at = now;
        }
    }

    /// Counts a try to make a sandbox; one that follows an earlier one that failed or died raises the back-off.
    pub(super) fn note_sandbox_try(&mut self) {
        let now = self.clock.monotonic();
        if let (Some((_, ended)), Some(policy)) = (&self.sandbox_ended, &self.sandboxes) {
            self.sandbox.raise(policy, *ended, now);
        }
    }

    /// Remembers that a sandbox could not be made.
    pub(super) fn note_sandbox_failure(&mut self) {
        self.sandbox_ended = Some((None, self.clock.monotonic()));
    }

    /// Why each container that should run waits.
    pub(super) fn waiting(&self, backing_off: &[String], pod: &str) -> BTreeMap<String, Waiting> {
        let failures = self.containers.iter().filter_map(|(name, known)| {
            known.failure.as_ref().map(|failure| (name.clone(), failure.waiting.clone()))
        });
        let mut waiting: BTreeMap<String, Waiting> = failures.collect();
        for name in backing_off {
            let delay = self.containers.get(name).map_or(Duration::ZERO, |known| known.backoff.delay());
            waiting.insert(name.clone(), crash_loop(name, pod, delay));
        }
        waiting
    }

    fn turn(&self, name: &str) -> Duration {
        let Some(known) = self.containers.get(name) else { return Duration::ZERO };
        let Some((_, ended)) = known.ended else { return Duration::ZERO };
        known.backoff.turn(&self.restarts, ended, self.clock.monotonic()).remaining()
    }
}

impl plan::Memory for Memory {
    fn restart_delay(&self, name: &str) -> Duration {
        self.turn(name)
    }

    fn retry_delay(&self, name: &str) -> Duration {
        let failure = self.containers.get(name).and_then(|known| known.failure.as_ref());
        failure.map_or(Duration::ZERO, |failure| failure.retry_at.saturating_sub(self.clock.monotonic()))
    }

    fn sandbox_delay(&self) -> Duration {
        let (Some(policy), Some((_, ended))) = (&self.sandboxes, &self.sandbox_ended) else {
            return Duration::ZERO;
        };
        self.sandbox.turn(policy, *ended, self.clock.monotonic()).remaining()
    }
}

/// The back-off that was in force before the agent was restarted: each restart has doubled it, if the container did not run for long.
fn resumed(policy: &BackoffPolicy, container: &Container, ended: Duration) -> Backoff {
    let mut backoff = Backoff::default();
    let ran = container
        .exit()
        .and_then(|exit| Duration::try_from(exit.finished_at.duration_since(exit.started_at?)).ok());
    if ran.is_none_or(|ran| ran < policy.reset_after()) {
        for _ in 0..container.attempt.min(16) {
            backoff.raise(policy, ended, ended);
        }
    }
    backoff
}

fn crash_loop(name: &str, pod: &str, delay: Duration) -> Waiting {
    let delay = crate::go_duration::GoDuration(delay);
    Waiting {
        reason: "CrashLoopBackOff".to_owned(),
        message: format!("back-off {delay} restarting failed container={name} pod={pod}"),
    }
}
