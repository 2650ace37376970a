//! When to probe next, and what the results add up to: the kubelet's probe worker as a synchronous state machine.
//!
//! Pure: it neither asks nor waits and reads no clock. Its shell tells it the newest view and what came of an attempt; it
//! answers what to do next. Rules: the kubelet's `prober/worker.go`.
//!
//! ```text
//!              new container: initial result, hold released
//!   absent ───────────────► waiting for the container's turn ◄──────────────┐
//!   ended: Failure            (started? initial delay? next tick)           │ below threshold,
//!      ▲                               │ due                                │ or no result
//!      └───────────────────────── attempt ──────────────────────────────────┤
//!                                      │ threshold reached: result stored   │
//!                                      └──► liveness failed, startup done ──► on hold until a new container
//! ```
//!
//! Ticks are on a grid that starts with the worker (not with the container) and outlives containers. A readiness probe starts
//! a new grid when its container has started, so that a pod is ready as soon as it is, and again whenever something about the
//! pod has changed while its container is not ready: its own failure is such a change. Ticks that nobody needs wake nobody.
//!
//! Two things differ from the kubelet, both only in when a tick is used: a tick at most a second short of the initial delay
//! waits for the delay's end (the kubelet rounds the start down to a second and probes early), and a container that the agent
//! found running keeps an unknown result until it was probed once, unless it is known to have started (as kubelets since 1.35 do).

use std::time::{Duration, Instant};

use super::view::{ContainerState, PodPhase};
use super::{ProbeKind, ProbeSpec};
use crate::cri::ContainerId;

/// What an attempt, or several, came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The container is well (a warning counts as this).
    Success,
    /// It is not.
    Failure,
}

/// Has the container's startup probe, if any, succeeded?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Startup {
    #[default]
    Pending,
    Done,
}

/// What the worker needs to know; the newest replaces the one before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct WorkerView {
    pub(super) state: ContainerState,
    pub(super) startup: Startup,
    pub(super) phase: PodPhase,
    /// Counts what has changed about the pod, of whichever container: each time a readiness probe that has not succeeded is asked anew.
    pub(super) changes: u32,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask now, on behalf of this container.
    Attempt(ContainerId),
    /// Nothing before this instant, unless the view changes.
    At(Instant),
    /// Nothing until the view changes.
    OnChange,
    /// Nothing any more.
    End,
}

/// The result in force and the container it is about.
pub(super) type Stored = Option<(ContainerId, Outcome)>;

/// How much the start of a container may seem later than the tick that is meant for the end of its initial delay.
const START_RESOLUTION: Duration = Duration::from_secs(1);

/// The state of one probe of one container.
#[derive(Debug)]
pub(super) struct Worker {
    kind: ProbeKind,
    initial_delay: Duration,
    period: Duration,
    success_threshold: u32,
    failure_threshold: u32,
    agent_started: Instant,
    first_tick: Instant,
    next_tick: Instant,
    container: Option<ContainerId>,
    stored: Option<Outcome>,
    last: Option<Outcome>,
    run: u32,
    hold: Hold,
    turn: Turn,
    /// The pod's changes that were taken note of.
    changes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Released,
    UntilNewContainer,
}

/// Whether the container's state let this probe run when last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It was not looked at yet: a container that runs is asked at the first tick.
    Unknown,
    Closed,
    Open,
}

impl Worker {
    /// A worker whose first tick is at `first_tick`. Containers that ran before `agent_started` get no initial result, but for the one whose
    /// startup probe succeeded when an earlier agent asked: it is not asked again.
    pub(super) fn new(
        spec: &ProbeSpec,
        first_tick: Instant,
        agent_started: Instant,
        had_started: Option<&ContainerId>,
    ) -> Self {
        Self {
            kind: spec.kind,
            initial_delay: spec.initial_delay,
            period: spec.period.max(Duration::from_secs(1)),
            success_threshold: spec.success_threshold,
            failure_threshold: spec.failure_threshold,
            agent_started,
            first_tick,
            next_tick: first_tick,
            container: had_started.cloned(),
            stored: had_started.map(|_| Outcome::Success),
            last: None,
            run: 0,
            hold: if had_started.is_some() { Hold::UntilNewContainer } else { Hold::Released },
            turn: Turn::Unknown,
            changes: 0,
        }
    }

    /// The result in force.
    pub(super) fn stored(&self) -> Stored {
        self.container.clone().zip(self.stored)
    }

    /// Looks at the newest view, at `now`. An answer of [`Next::Attempt`] uses up the tick.
    pub(super) fn observe(&mut self, view: &WorkerView, now: Instant) -> Next {
        let has_changed = std::mem::replace(&mut self.changes, view.changes) != view.changes;
        let ending = view.phase == PodPhase::Terminating && self.kind != ProbeKind::Readiness;
        let (id, since) = match &view.state {
            _ if ending => return self.end(view),
            ContainerState::Absent => return self.close(now),
            ContainerState::Terminated { id } => {
                self.meet(id, None);
                self.stored = Some(Outcome::Failure);
                return self.close(now);
            }
            ContainerState::Running { id, since } => (id, *since),
        };
        self.meet(id, Some(since));
        let waits_for_startup = match self.kind {
            ProbeKind::Startup => view.startup == Startup::Done,
            ProbeKind::Liveness | ProbeKind::Readiness => view.startup == Startup::Pending,
        };
        if self.hold == Hold::UntilNewContainer || waits_for_startup {
            return self.close(now);
        }
        self.open(now);
        if has_changed && self.kind == ProbeKind::Readiness && self.stored == Some(Outcome::Failure) {
            self.next_tick = now;
        }

        let due = self.due(since);
        if now < due {
            return Next::At(due);
        }
        self.skip_ticks(now);
        Next::Attempt(id.clone())
    }

    /// Counts what came of an attempt on behalf of `id`; says whether the result in force changed.
    ///
    /// An attempt without a result (the asking itself failed) is not told here: it changes nothing.
    pub(super) fn conclude(&mut self, id: &ContainerId, outcome: Outcome) -> Change {
        if self.container.as_ref() != Some(id) {
            return Change::None;
        }
        self.run = if self.last == Some(outcome) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(outcome);
        let threshold = match outcome {
            Outcome::Success => self.success_threshold,
            Outcome::Failure => self.failure_threshold,
        };
        if self.run < threshold {
            return Change::None;
        }
        let before = self.stored.replace(outcome);
        if self.kind == ProbeKind::Startup || (self.kind, outcome) == (ProbeKind::Liveness, Outcome::Failure)
        {
            self.hold = Hold::UntilNewContainer;
            self.run = 0;
        }
        if before == Some(outcome) { Change::None } else { Change::Result }
    }

    /// Notices a container that was not there before. What was counted goes on counting; that is the kubelet's rule.
    fn meet(&mut self, id: &ContainerId, since: Option<Instant>) {
        if self.container.as_ref() == Some(id) {
            return;
        }
        let found_running = since.is_some_and(|since| since < self.agent_started);
        self.container = Some(id.clone());
        self.hold = Hold::Released;
        if self.turn == Turn::Open {
            self.turn = Turn::Closed;
        }
        self.stored = match self.kind {
            _ if found_running => None,
            ProbeKind::Startup => None,
            ProbeKind::Liveness => Some(Outcome::Success),
            ProbeKind::Readiness => Some(Outcome::Failure),
        };
    }

    /// The pod ends: nothing that this probe could say may restart a container now.
    fn end(&mut self, view: &WorkerView) -> Next {
        if let Some(id) = view.state.running() {
            self.container = Some(id.clone());
            self.stored = Some(Outcome::Success);
        }
        Next::End
    }

    fn close(&mut self, now: Instant) -> Next {
        self.turn = Turn::Closed;
        self.skip_ticks(now);
        Next::OnChange
    }

    /// Lets the probe run. Ticks that passed meanwhile are gone; readiness starts its ticks anew.
    fn open(&mut self, now: Instant) {
        let was = std::mem::replace(&mut self.turn, Turn::Open);
        match (was, self.kind) {
            (Turn::Open, _) => {}
            (_, ProbeKind::Readiness) => self.next_tick = self.first_tick.max(now),
            (Turn::Unknown, _) => {}
            (Turn::Closed, _) => self.skip_ticks(now),
        }
    }

    /// When the next attempt is due: at the first tick that the initial delay leaves.
    fn due(&mut self, since: Instant) -> Instant {
        let delay_ends = since + self.initial_delay;
        if !self.initial_delay.is_zero() {
            self.next_tick = self.tick_from(delay_ends.checked_sub(START_RESOLUTION).unwrap_or(since));
        }
        self.next_tick.max(delay_ends)
    }

    /// Moves to the first tick after `now`.
    fn skip_ticks(&mut self, now: Instant) {
        self.next_tick = self.tick_from(now);
        if self.next_tick == now {
            self.next_tick += self.period;
        }
    }

    /// The first tick at or after `instant`, and not before the next one.
    fn tick_from(&self, instant: Instant) -> Instant {
        let Some(missed) = instant.checked_duration_since(self.next_tick) else { return self.next_tick };
        let periods = missed.as_nanos().div_ceil(self.period.as_nanos());
        self.next_tick + self.period * u32::try_from(periods).unwrap_or(u32::MAX)
    }
}

/// Did the result in force change?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Result,
}

#[cfg(test)]
mod tests;
