//! Regular containers: each started, kept, or killed and started again, on its own.

use super::{Action, Inputs, KillReason, Plan, ProbeVerdict, Role};
use crate::pod::observed::{self, ContainerState};

/// Adds what the regular containers need to the plan, in the order of the spec. A DaemonSet's pods restart always.
pub(super) fn advance(inputs: &Inputs<'_>, plan: &mut Plan) {
    for container in inputs.containers() {
        match inputs.observed.newest(&container.name) {
            None => plan.start(inputs, &container.name, Role::Regular),
            Some(record) => match &record.state {
                ContainerState::Created | ContainerState::Exited(_) => {
                    plan.start(inputs, &container.name, Role::Regular);
                }
                ContainerState::Unknown => restart(inputs, plan, record, KillReason::UnknownState),
                ContainerState::Running { .. } => {
                    if let Some(why) = reason_to_kill(inputs, record) {
                        restart(inputs, plan, record, why);
                    }
                }
            },
        }
    }
}

fn reason_to_kill(inputs: &Inputs<'_>, record: &observed::Container) -> Option<KillReason> {
    let failed = Some(ProbeVerdict::Failure);
    if inputs.is_changed(record) {
        Some(KillReason::DefinitionChanged)
    } else if inputs.probes.liveness(&record.name, &record.id) == failed {
        Some(KillReason::Liveness)
    } else if inputs.probes.startup(&record.name, &record.id) == failed {
        Some(KillReason::Startup)
    } else {
        None
    }
}

/// The back-off is that of the exit *before* this one: a container that ran long enough starts again at once (`doBackOff`).
fn restart(inputs: &Inputs<'_>, plan: &mut Plan, record: &observed::Container, why: KillReason) {
    plan.actions.push(Action::KillContainer { id: record.id.clone(), name: record.name.clone(), why });
    plan.start(inputs, &record.name, Role::Regular);
}
