//! Is a new sandbox needed, and what comes before it? (`PodSandboxChanged` of `pkg/kubelet/kuberuntime`.)

use k8s_openapi::api::core::v1::Pod;

use super::{Action, Inputs, Spare};
use crate::pod::observed::{Network, Observed, SandboxState};

/// The attempt of the sandbox to create; `None` when the present one is usable.
pub(super) fn replacement(pod: &Pod, observed: &Observed) -> Option<u32> {
    let sandboxes = &observed.sandboxes;
    let Some(newest) = sandboxes.first() else { return Some(0) };
    let ready = sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready).count();
    let wanted = match pod.spec.as_ref().and_then(|spec| spec.host_network) {
        Some(true) => Network::Host,
        _ => Network::Pod,
    };
    let usable = ready == 1
        && newest.state == SandboxState::Ready
        && newest.network == wanted
        && (wanted == Network::Host || !newest.ips.is_empty());
    (!usable).then_some(newest.attempt + 1)
}

/// Makes room, forgets what the init containers did in the old sandbox, removes what is garbage, and creates the new one.
pub(super) fn actions(inputs: &Inputs<'_>, attempt: u32, garbage: Vec<Action>) -> Vec<Action> {
    let mut actions = Vec::new();
    // A sandbox that isn't ready is stopped as well: only then has the runtime given back its network.
    if !inputs.observed.sandboxes.is_empty() || inputs.observed.running().next().is_some() {
        actions.push(Action::KillPod);
    }
    let init = inputs.init_containers();
    let records: Vec<_> = (inputs.observed.containers.iter())
        .filter(|record| init.iter().any(|container| container.name == record.name))
        .map(|record| record.id.clone())
        .collect();
    // What is killed is killed with the pod.
    actions.extend(garbage.into_iter().filter(|action| match action {
        Action::RemoveContainer(id) => inputs.spare == Spare::Dropped && !records.contains(id),
        action => action.is_removal(),
    }));
    if !records.is_empty() {
        actions.push(Action::RemoveInitRecords(records));
    }
    actions.push(Action::CreateSandbox { attempt });
    actions
}
