//! What a worker remembers between two plans: crash-loop back-offs, starts that failed, and sandboxes that did not last.
//!
//! Lost with the agent, except for the crash-loop back-off: each container carries the delay that will follow its end as an annotation
//! ([`RESTART_DELAY_ANNOTATION`]), so it is taken up where it was, but not after a boot of the machine.
//!
//! [`RESTART_DELAY_ANNOTATION`]: crate::pod::observe::RESTART_DELAY_ANNOTATION

mod sandboxes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::sandboxes::Sandboxes;
use crate::backoff::{Backoff, BackoffPolicy};
use crate::clock::Clock;
use crate::complaints;
use crate::cri::ContainerId;
use crate::go_duration::GoDuration;
use crate::pod::observed::{Container, ContainerState, Observed};
use crate::pod::plan;
use crate::pod::status::Waiting;

/// How long a start that failed waits for another try, unless the store changes before. A kubelet tries again when it next looks, as the
/// sandbox's own start makes it do within a second, and then every ten seconds or more (`backOffPeriod`): never later than that.
const RETRY_AFTER: [Duration; 9] = {
    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }
    [ms(100), ms(1000), ms(1000), ms(1000), ms(1000), ms(2000), ms(4000), ms(8000), ms(10_000)]
};

/// The memory of one pod's worker.
#[derive(Debug)]
pub(super) struct Memory {
    clock: Clock,
    restarts: BackoffPolicy,
    containers: BTreeMap<String, Remembered>,
    sandboxes: Sandboxes,
}

#[derive(Debug, Default)]
struct Remembered {
    backoff: Backoff,
    /// The newest instance that was seen alive, or just made, and when.
    alive: Option<(ContainerId, Duration)>,
    /// The newest instance that was seen to have ended, and when by our clock.
    ended: Option<(ContainerId, Duration)>,
    /// The instance whose end is nobody's fault, until there is another.
    pardoned: Option<ContainerId>,
    failure: Option<Failure>,
    /// How many starts in a row have failed.
    failures: usize,
}

/// A start that failed.
#[derive(Debug)]
struct Failure {
    waiting: Waiting,
    retry_at: Duration,
    /// The instance that was made all the same. When it has ended, the crash-loop back-off decides alone.
    made: Option<ContainerId>,
    told_at: Duration,
}

/// When a start that failed may be tried again.
#[derive(Debug, Clone)]
pub(super) enum Retry {
    /// After a while, or as soon as the store changes: what it lacks may be there then.
    WhenItMayWork,
    /// After this long.
    After(Duration),
    /// There is an instance: when it has ended, as soon as the crash-loop back-off lets it be followed by another. One that never
    /// came to run and does not end is followed after a while.
    AfterEndOf(ContainerId),
}

impl Memory {
    pub(super) fn new(clock: Clock, restarts: BackoffPolicy) -> Self {
        Self { clock, restarts, containers: BTreeMap::new(), sandboxes: Sandboxes::default() }
    }

    /// Notes what has ended since the last look.
    pub(super) fn note(&mut self, observed: &Observed) {
        let now = self.clock.monotonic();
        let (mut newest, mut ended) = (BTreeSet::new(), BTreeSet::new());
        for container in &observed.containers {
            let is_newest = newest.insert(container.name.as_str());
            if is_newest && !self.containers.contains_key(&container.name) {
                self.containers.insert(container.name.clone(), self.found(container));
            }
            if container.exit().is_some() {
                if ended.insert(container.name.as_str()) {
                    self.note_end(container, now);
                }
            } else if let Some(known) = self.containers.get_mut(&container.name).filter(|_| is_newest) {
                known.alive = Some((container.id.clone(), now));
            }
        }
        for known in self.containers.values_mut() {
            known.note_vanished(observed, now);
        }
    }

    /// What there is to remember of a container that an earlier agent made: the back-off that was raised when it did.
    fn found(&self, newest: &Container) -> Remembered {
        let started = match &newest.state {
            ContainerState::Running { started_at } => Some(*started_at),
            ContainerState::Exited(exit) => exit.started_at,
            ContainerState::Created | ContainerState::Unknown => None,
        };
        let limit = self.restarts.reset_after() + self.restarts.max() * 2;
        let ago = started.map_or(Duration::ZERO, |started| self.clock.ago(started, limit));
        let made = self.clock.monotonic().saturating_sub(ago);
        Remembered { backoff: Backoff::resumed(newest.restart_delay, made), ..Remembered::default() }
    }

    /// Notes that an instance has ended. When, the wall clock says, but not before it was last seen alive.
    fn note_end(&mut self, container: &Container, now: Duration) {
        let Some(exit) = container.exit() else { return };
        let known = self.containers.entry(container.name.clone()).or_default();
        if known.ended.as_ref().is_some_and(|(id, _)| *id == container.id)
            || known.pardoned.as_ref() == Some(&container.id)
        {
            return;
        }
        let alive =
            known.alive.as_ref().filter(|(id, _)| *id == container.id).map(|(_, at)| now.saturating_sub(*at));
        let limit = alive.unwrap_or(Duration::MAX).min(self.restarts.max());
        let ended = now.saturating_sub(self.clock.ago(exit.finished_at, limit));
        // An older instance, whose successor vanished without leaving an end of its own.
        if known.ended.as_ref().is_some_and(|(_, latest)| ended < *latest) {
            return;
        }
        if let Some(failure) = known.failure.as_mut().filter(|it| it.made.as_ref() == Some(&container.id)) {
            failure.retry_at = now;
        }
        known.ended = Some((container.id.clone(), ended));
    }

    /// Counts a (re)start of a container whose newest instance has ended.
    pub(super) fn note_restart(&mut self, name: &str) {
        let now = self.clock.monotonic();
        if let Some(known) = self.containers.get_mut(name)
            && known.ended.is_some()
        {
            known.backoff.raise(&self.restarts, now);
        }
    }

    /// The delay that will follow the end of the instance that is made now.
    pub(super) fn delay(&self, name: &str) -> Duration {
        self.containers.get(name).map_or(Duration::ZERO, |known| known.backoff.delay())
    }

    /// Notes an instance that was just made.
    pub(super) fn note_made(&mut self, name: &str, id: &ContainerId) {
        let now = self.clock.monotonic();
        let known = self.containers.entry(name.to_owned()).or_default();
        (known.alive, known.pardoned) = (Some((id.clone(), now)), None);
    }

    /// The instance ends with its sandbox, which is replaced while it runs: its successor need not wait for that.
    pub(super) fn pardon(&mut self, name: &str, id: &ContainerId) {
        self.containers.entry(name.to_owned()).or_default().pardoned = Some(id.clone());
    }

    /// Forgets how these instances ended, and that they lived. The back-off that was raised before stays.
    pub(super) fn forget_instances(&mut self, ids: &[ContainerId]) {
        for known in self.containers.values_mut() {
            known.alive.take_if(|(id, _)| ids.contains(id));
            known.ended.take_if(|(id, _)| ids.contains(id));
        }
    }

    /// Remembers a start that failed.
    pub(super) fn note_failure(&mut self, name: &str, waiting: Waiting, retry: Retry) {
        let now = self.clock.monotonic();
        let known = self.containers.entry(name.to_owned()).or_default();
        let usual = RETRY_AFTER[known.failures.min(RETRY_AFTER.len() - 1)];
        known.failures += 1;
        let (after, made) = match retry {
            Retry::WhenItMayWork => (usual, None),
            Retry::After(after) => (after, None),
            Retry::AfterEndOf(id) => (usual, Some(id)),
        };
        let told_at = match &known.failure {
            Some(before) if before.is_still(&waiting, now) => before.told_at,
            _ => now,
        };
        known.failure = Some(Failure { waiting, retry_at: now + after, made, told_at });
    }

    /// Whether the last start of this container failed with the same words, and that was told not long ago.
    pub(super) fn was_told(&self, name: &str, waiting: &Waiting) -> bool {
        let now = self.clock.monotonic();
        let failure = self.containers.get(name).and_then(|known| known.failure.as_ref());
        failure.is_some_and(|failure| failure.is_still(waiting, now))
    }

    /// Forgets a failure: the container has started.
    pub(super) fn note_success(&mut self, name: &str) {
        if let Some(known) = self.containers.get_mut(name) {
            (known.failure, known.failures) = (None, 0);
        }
    }

    /// The store has changed: lets what failed before there was a container be tried at once.
    pub(super) fn retry_failures(&mut self) {
        self.sandboxes = Sandboxes::default();
        let now = self.clock.monotonic();
        let failures = self.containers.values_mut().filter_map(|known| known.failure.as_mut());
        failures.filter(|failure| failure.made.is_none()).for_each(|failure| failure.retry_at = now);
    }

    /// Lets starts that wait for such a reason be tried at once; says whether there are any.
    pub(super) fn retry_for(&mut self, is_such: impl Fn(&Waiting) -> bool) -> bool {
        let now = self.clock.monotonic();
        let failures = self.containers.values_mut().filter_map(|known| known.failure.as_mut());
        let such = failures.filter(|failure| failure.made.is_none() && is_such(&failure.waiting));
        such.map(|failure| failure.retry_at = now).count() > 0
    }

    /// Counts a sandbox that is about to be made.
    pub(super) fn note_sandbox_try(&mut self) {
        self.sandboxes.note_try(self.clock.monotonic());
    }

    /// Remembers that a sandbox could not be made.
    pub(super) fn note_sandbox_failure(&mut self) {
        self.sandboxes.note_failure(self.clock.monotonic());
    }

    /// Why each container that should run waits.
    pub(super) fn waiting(&self, backing_off: &[String], pod: &str) -> BTreeMap<String, Waiting> {
        let failures = self.containers.iter().filter_map(|(name, known)| {
            known.failure.as_ref().map(|failure| (name.clone(), failure.waiting.clone()))
        });
        let mut waiting: BTreeMap<String, Waiting> = failures.collect();
        for name in backing_off {
            waiting.insert(name.clone(), crash_loop(name, pod, self.delay(name)));
        }
        waiting
    }
}

impl plan::Memory for Memory {
    fn restart_delay(&self, name: &str) -> Duration {
        let Some(known) = self.containers.get(name) else { return Duration::ZERO };
        let Some((_, ended)) = known.ended else { return Duration::ZERO };
        known.backoff.turn(&self.restarts, ended, self.clock.monotonic()).remaining()
    }

    fn retry_delay(&self, name: &str) -> Duration {
        let failure = self.containers.get(name).and_then(|known| known.failure.as_ref());
        failure.map_or(Duration::ZERO, |failure| failure.retry_at.saturating_sub(self.clock.monotonic()))
    }

    fn sandbox_delay(&self) -> Duration {
        self.sandboxes.delay(self.clock.monotonic())
    }
}

impl Remembered {
    /// An instance that the runtime knows no more has ended, whoever removed it. Without this, a runtime that forgets what it makes would
    /// be asked for another at once, for ever.
    fn note_vanished(&mut self, observed: &Observed, now: Duration) {
        let Some((id, _)) = &self.alive else { return };
        if !observed.containers.iter().any(|container| container.id == *id) {
            let is_known = self.pardoned.as_ref() == Some(id)
                || self.ended.as_ref().is_some_and(|(ended, _)| ended == id);
            if !is_known {
                self.ended = Some((id.clone(), now));
            }
            self.alive = None;
        }
    }
}

impl Failure {
    fn is_still(&self, waiting: &Waiting, now: Duration) -> bool {
        self.waiting == *waiting && now.saturating_sub(self.told_at) < complaints::AGAIN
    }
}

fn crash_loop(name: &str, pod: &str, delay: Duration) -> Waiting {
    let delay = GoDuration(delay);
    Waiting {
        reason: "CrashLoopBackOff".to_owned(),
        message: format!("back-off {delay} restarting failed container={name} pod={pod}"),
    }
}
