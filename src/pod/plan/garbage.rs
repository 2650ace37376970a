//! Dead containers and sandboxes of a live pod: one of each name is kept for its counts and its last state, the others go
//! (`pkg/kubelet/kuberuntime/kuberuntime_gc.go`, MaxPerPodContainer 1). When the disk is short that one goes as well, unless it is the newest:
//! then its number and its end say when and as what it starts again.

use std::collections::BTreeSet;

use super::{Action, Inputs, KillReason, Plan, Spare};
use crate::pod::observed::{ContainerState, SandboxState};

/// Adds the removals to the plan, behind everything that keeps the pod running.
pub(super) fn collect(inputs: &Inputs<'_>, plan: &mut Plan) {
    let mut newest = BTreeSet::new();
    let mut kept = BTreeSet::new();
    for record in &inputs.observed.containers {
        let name = record.name.as_str();
        let is_newest = newest.insert(name);
        let remove = match record.state {
            ContainerState::Exited(_) => !kept.insert(name) || (!is_newest && inputs.spare == Spare::Dropped),
            ContainerState::Created => !is_newest,
            // Only what has ended may be removed: stopping it makes it Exited, and the next round sees to it.
            ContainerState::Unknown | ContainerState::Running { .. } if !is_newest => {
                let (id, name) = (record.id.clone(), record.name.clone());
                plan.actions.push(Action::KillContainer { id, name, why: KillReason::BeforeRemoval });
                false
            }
            ContainerState::Unknown | ContainerState::Running { .. } => false,
        };
        if remove {
            plan.actions.push(Action::RemoveContainer(record.id.clone()));
        }
    }
    for sandbox in inputs.observed.sandboxes.iter().skip(1) {
        // With a sandbox the runtime removes what is in it, and with that the counts and last states.
        let is_empty = inputs.observed.containers.iter().all(|record| record.sandbox != sandbox.id);
        if sandbox.state == SandboxState::NotReady && is_empty {
            plan.actions.push(Action::RemoveSandbox(sandbox.id.clone()));
        }
    }
}
