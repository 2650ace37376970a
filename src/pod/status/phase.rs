//! The pod's phase (`getPhase` of `pkg/kubelet/kubelet_pods.go`), for pods that restart always.

use k8s_openapi::api::core::v1::{Container, ContainerStatus};

use super::{Ending, Inputs};
use crate::pod::plan::Role;

/// Where a pod is in its life, as the API has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }

    pub(super) const fn is_terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

#[derive(Default)]
struct Counts {
    pending_init: usize,
    pending_sidecars: usize,
    waiting: usize,
    running: usize,
    stopped: usize,
    succeeded: usize,
}

pub(super) fn of(
    init: &[Container],
    init_statuses: &[ContainerStatus],
    statuses: &[ContainerStatus],
    inputs: &Inputs<'_>,
) -> Phase {
    let mut counts = Counts::default();
    for (container, status) in init.iter().zip(init_statuses) {
        match Role::of_init(container) {
            Role::Sidecar => count_sidecar(&mut counts, status),
            Role::Init | Role::Regular => counts.pending_init += usize::from(is_pending_init(status)),
        }
    }
    for status in statuses {
        count_regular(&mut counts, status);
    }
    let running =
        |status: &ContainerStatus| status.state.as_ref().is_some_and(|state| state.running.is_some());
    if inputs.failure.is_some() && !init_statuses.iter().chain(statuses).any(running) {
        return Phase::Failed;
    }
    let any_regular_started = statuses.iter().any(has_ever_started);

    if counts.pending_init > 0 || (counts.pending_sidecars > 0 && !any_regular_started) || counts.waiting > 0
    {
        Phase::Pending
    } else if counts.running > 0 {
        Phase::Running
    } else if counts.stopped > 0 && inputs.ending == Ending::Yes {
        if counts.stopped == counts.succeeded { Phase::Succeeded } else { Phase::Failed }
    } else if counts.stopped > 0 {
        Phase::Running
    } else {
        Phase::Pending
    }
}

/// A plain init container is pending while it runs, and while it waits without ever having run.
fn is_pending_init(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    let terminated = state.is_some_and(|state| state.terminated.is_some());
    let running = state.is_some_and(|state| state.running.is_some());
    let ran_before = status.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
    running || (!terminated && !ran_before)
}

fn count_sidecar(counts: &mut Counts, status: &ContainerStatus) {
    let Some(state) = &status.state else { return };
    if state.running.is_some() {
        counts.running += 1;
        counts.pending_sidecars += usize::from(status.started != Some(true));
    } else if state.terminated.is_none() && !has_ever_started(status) {
        counts.waiting += 1;
        counts.pending_sidecars += 1;
    }
}

fn count_regular(counts: &mut Counts, status: &ContainerStatus) {
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let state = status.state.as_ref();
    if state.is_some_and(|state| state.running.is_some()) {
        counts.running += 1;
    } else if let Some(terminated) = state.and_then(|state| state.terminated.as_ref()) {
        counts.stopped += 1;
        counts.succeeded += usize::from(terminated.exit_code == 0);
    } else if last.is_some() {
        counts.stopped += 1;
    } else {
        counts.waiting += 1;
    }
}

fn has_ever_started(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        || status.last_state.as_ref().is_some_and(|state| state.terminated.is_some())
}
