//! Init containers: one after another, sidecars staying behind (`computeInitContainerActions` of `pkg/kubelet/kuberuntime`).
//!
//! They are looked at from the last to the first: the last one with a record tells how far the pod has come. Those before it have done
//! their part, and only the sidecars among them still matter.

use k8s_openapi::api::core::v1::Container;

use super::{Action, Inputs, KillReason, Plan, ProbeVerdict, Role};
use crate::pod::observed::{self, ContainerState};

/// How far the init containers have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// One is still to run, or to start up.
    Pending,
    /// All have done their part.
    Complete,
}

/// What the walk finds about one init container.
enum Finding<'a> {
    /// It has not done its part.
    Holds,
    /// It has done its part, and the next may start.
    Done,
    /// The same, but its instance is to be followed by another. What comes after it doesn't wait for that.
    DoneAndAgain(&'a observed::Container, KillReason),
    /// It must be started (again), after its instance was killed if one is named.
    Start(Option<(&'a observed::Container, KillReason)>),
}

/// Adds what the init containers need to the plan.
pub(super) fn advance(inputs: &Inputs<'_>, plan: &mut Plan) -> Progress {
    let init = inputs.init_containers();
    let Some(last) = init.len().checked_sub(1) else { return Progress::Complete };

    let began = is_initialized(inputs);
    let mut complete = began;
    let mut seen = began;
    let mut starts: Vec<(usize, Option<(&observed::Container, KillReason)>)> = Vec::new();
    for (index, container) in init.iter().enumerate().rev() {
        let role = Role::of_init(container);
        let Some(record) = newest_in_this_sandbox(inputs, &container.name) else {
            if seen && role == Role::Sidecar {
                starts.push((index, None));
            }
            continue;
        };
        let first_found = !seen;
        seen = true;
        if !first_found && role == Role::Init {
            continue;
        }
        let (is_done, again) = match examine(inputs, container, role, record) {
            Finding::Holds => (false, None),
            Finding::Start(kill) => (false, Some(kill)),
            Finding::Done => (true, None),
            Finding::DoneAndAgain(record, why) => (true, Some(Some((record, why)))),
        };
        if is_done && first_found {
            if index == last {
                complete = true;
            } else {
                starts.push((index + 1, None));
            }
        }
        starts.extend(again.map(|kill| (index, kill)));
    }
    if !seen {
        starts.push((0, None));
    }
    for (index, kill) in starts.into_iter().rev() {
        let container = &init[index];
        if let Some((record, why)) = kill {
            plan.actions.push(Action::KillContainer {
                id: record.id.clone(),
                name: record.name.clone(),
                why,
            });
        }
        plan.start(inputs, &container.name, Role::of_init(container));
    }
    if complete { Progress::Complete } else { Progress::Pending }
}

/// What an init container did in an earlier sandbox tells nothing, should its record still be there.
fn newest_in_this_sandbox<'a>(inputs: &Inputs<'a>, name: &str) -> Option<&'a observed::Container> {
    let sandbox = &inputs.observed.sandbox()?.id;
    inputs.observed.newest(name).filter(|record| record.sandbox == *sandbox)
}

/// A pod is initialized once a regular container was made in this sandbox and has not ended.
fn is_initialized(inputs: &Inputs<'_>) -> bool {
    let sandbox = inputs.observed.sandbox().map(|sandbox| &sandbox.id);
    inputs.containers().iter().filter_map(|container| inputs.observed.newest(&container.name)).any(|record| {
        let alive = matches!(record.state, ContainerState::Created | ContainerState::Running { .. });
        alive && Some(&record.sandbox) == sandbox
    })
}

fn examine<'a>(
    inputs: &Inputs<'_>,
    container: &Container,
    role: Role,
    record: &'a observed::Container,
) -> Finding<'a> {
    match (&record.state, role) {
        (ContainerState::Unknown, _) => Finding::Start(Some((record, KillReason::UnknownState))),
        (ContainerState::Exited(exit), Role::Init) if !exit.is_failure() => Finding::Done,
        (ContainerState::Created | ContainerState::Exited(_), _) => Finding::Start(None),
        (ContainerState::Running { .. }, Role::Init) => Finding::Holds,
        (ContainerState::Running { .. }, _) => examine_sidecar(inputs, container, record),
    }
}

/// A running sidecar lets the next container start once it has started up.
fn examine_sidecar<'a>(
    inputs: &Inputs<'_>,
    container: &Container,
    record: &'a observed::Container,
) -> Finding<'a> {
    match inputs.probes.startup(&container.name, &record.id) {
        Some(ProbeVerdict::Failure) => return Finding::Start(Some((record, KillReason::Startup))),
        Some(ProbeVerdict::Unknown) => return Finding::Holds,
        Some(ProbeVerdict::Success) | None => {}
    }
    if inputs.is_changed(record) {
        Finding::DoneAndAgain(record, KillReason::DefinitionChanged)
    } else if inputs.probes.liveness(&container.name, &record.id) == Some(ProbeVerdict::Failure) {
        Finding::DoneAndAgain(record, KillReason::Liveness)
    } else {
        Finding::Done
    }
}
