//! Containers that the runtime has no record of, though the pod's worker has known one: the pod has come that far, and its count goes on.
//!
//! Rule: `convertToAPIContainerStatuses` of `pkg/kubelet/kubelet_pods.go`, which starts from the status that it told before; and
//! `TerminatePod` of `status/status_manager.go` for what is unknown at the end.

use k8s_openapi::api::core::v1::{
    Container, ContainerState as ApiState, ContainerStateTerminated, ContainerStatus,
};

use super::Ending;
use crate::cri::ContainerId;
use crate::pod::observed::{self, ContainerState, Exit};
use crate::pod::plan::Role;

/// The newest instance that was known of a container, while the runtime has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Vanished {
    /// The instance as it was last seen.
    pub newest: observed::Container,
    /// How the one before it ended.
    pub last: Option<(ContainerId, Exit)>,
}

impl Vanished {
    /// The instance, if how it ended is known: then nothing is missing.
    pub(super) fn ended(&self) -> Option<&observed::Container> {
        Some(&self.newest).filter(|newest| newest.exit().is_some())
    }

    /// The last state and the restart count of a container whose newest instance was not seen to end.
    pub(super) fn unseen_end(&self, ending: Ending) -> (Option<ApiState>, u32) {
        let ran = matches!(self.newest.state, ContainerState::Running { .. });
        if !ran || self.last.is_some() {
            return (None, self.newest.attempt);
        }
        let message =
            "The container could not be located when the pod was deleted.  The container used to be Running";
        (Some(unknown(message)), self.newest.attempt.saturating_add(u32::from(ending == Ending::No)))
    }
}

/// Completes the statuses of a pod that has ended: of what was to run and left nothing to tell of it, it is not known how it ended.
pub(super) fn at_the_end(
    init: &[Container],
    init_statuses: &mut [ContainerStatus],
    statuses: &mut [ContainerStatus],
) {
    let is_initialized = is_initialized(init, init_statuses, statuses);
    let last_tried = init_statuses.iter().rposition(was_tried).unwrap_or_default();
    let unknown_init = init_statuses.iter_mut().take(last_tried + 1);
    let unknown_regular = statuses.iter_mut().filter(|_| is_initialized);
    for status in unknown_init.chain(unknown_regular) {
        if status.state.as_ref().is_none_or(|state| state.terminated.is_none()) {
            status.state = Some(unknown("The container could not be located when the pod was terminated"));
        }
    }
}

fn is_initialized(
    init: &[Container],
    init_statuses: &[ContainerStatus],
    statuses: &[ContainerStatus],
) -> bool {
    let last = init.last().zip(init_statuses.last());
    let last_is_done = last.is_none_or(|(container, status)| match Role::of_init(container) {
        Role::Sidecar => is(status, |state| state.running.is_some()) && status.started == Some(true),
        Role::Init | Role::Regular => {
            let ended_well = |state: &ApiState| state.terminated.as_ref().is_some_and(|it| it.exit_code == 0);
            is(status, ended_well) || status.last_state.as_ref().is_some_and(ended_well)
        }
    });
    last_is_done || statuses.iter().any(was_tried)
}

/// Whether there is evidence that it has ever been started.
fn was_tried(status: &ContainerStatus) -> bool {
    is(status, |state| state.waiting.is_none())
        || status.last_state.as_ref().is_some_and(|state| state.terminated.is_some())
}

fn is(status: &ContainerStatus, so: impl Fn(&ApiState) -> bool) -> bool {
    status.state.as_ref().is_some_and(so)
}

fn unknown(message: &str) -> ApiState {
    let terminated = ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some(message.to_owned()),
        ..ContainerStateTerminated::default()
    };
    ApiState { terminated: Some(terminated), ..ApiState::default() }
}
