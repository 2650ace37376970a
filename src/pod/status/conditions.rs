//! The pod's conditions and the times at which they last changed (`pkg/kubelet/status/generate.go`).

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodCondition};

use super::phase::Phase;
use super::{Inputs, SandboxNeed, time};
use crate::pod::failure::Fault;
use crate::pod::plan::Role;

/// One condition's answer: `None` is True, otherwise False with reason and message.
type Unmet = Option<(&'static str, String)>;

pub(super) fn of(
    inputs: &Inputs<'_>,
    phase: Phase,
    init_statuses: &[ContainerStatus],
    statuses: &[ContainerStatus],
) -> Vec<PodCondition> {
    let init = inputs.pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let containers_ready = containers_ready(phase, init, init_statuses, statuses);
    let ready = containers_ready.clone().or_else(|| gates(inputs));
    let sandbox = match inputs.sandbox {
        SandboxNeed::Usable => None,
        SandboxNeed::Missing => Some(("", String::new())),
    };
    let told = [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized(init, init_statuses, statuses)),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", None),
    ];
    let mut conditions: Vec<PodCondition> =
        told.into_iter().map(|(type_, unmet)| condition(inputs, type_, unmet)).collect();
    if phase == Phase::Succeeded
        && let Some(initialized) = conditions.iter_mut().find(|condition| condition.type_ == "Initialized")
    {
        initialized.reason = Some("PodCompleted".to_owned());
    }
    // A kubelet tells of its own once nothing runs any more, others of theirs beforehand.
    let by_kubelet = inputs.failure.filter(|failure| failure.fault == Fault::Node && phase == Phase::Failed);
    let by_kubelet = by_kubelet.map(|failure| ("TerminationByKubelet", failure.message.as_str()));
    let by_others = inputs.disruption.map(|disruption| (disruption.reason(), disruption.message()));
    conditions.extend(by_kubelet.or(by_others).map(|(reason, message)| PodCondition {
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        ..condition(inputs, "DisruptionTarget", None)
    }));
    conditions
}

fn condition(inputs: &Inputs<'_>, type_: &str, unmet: Unmet) -> PodCondition {
    let status = if unmet.is_none() { "True" } else { "False" };
    let before = inputs.previous.iter().find(|condition| condition.type_ == type_);
    let since =
        before.filter(|condition| condition.status == status).and_then(|c| c.last_transition_time.clone());
    let some = |text: String| (!text.is_empty()).then_some(text);
    let (reason, message) = unmet.unwrap_or_default();
    PodCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: some(reason.to_owned()),
        message: some(message),
        last_transition_time: Some(since.unwrap_or_else(|| time(inputs.now))),
        ..PodCondition::default()
    }
}

/// A pod that has come as far as its regular containers stays initialized, whatever its sidecars do.
fn initialized(init: &[Container], init_statuses: &[ContainerStatus], statuses: &[ContainerStatus]) -> Unmet {
    let any_started = statuses.iter().any(|status| {
        status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    });
    let incomplete: Vec<&str> = (init.iter().zip(init_statuses))
        .filter(|(container, status)| match Role::of_init(container) {
            Role::Sidecar => status.started != Some(true),
            Role::Init | Role::Regular => !status.ready,
        })
        .map(|(_, status)| status.name.as_str())
        .collect();
    (!any_started && !incomplete.is_empty()).then(|| {
        ("ContainersNotInitialized", format!("containers with incomplete status: [{}]", incomplete.join(" ")))
    })
}

fn containers_ready(
    phase: Phase,
    init: &[Container],
    init_statuses: &[ContainerStatus],
    statuses: &[ContainerStatus],
) -> Unmet {
    match phase {
        Phase::Succeeded => return Some(("PodCompleted", String::new())),
        Phase::Failed => return Some(("PodFailed", String::new())),
        Phase::Pending | Phase::Running => {}
    }
    debug_assert!(!phase.is_terminal());
    let sidecars = init
        .iter()
        .zip(init_statuses)
        .filter(|(container, _)| Role::of_init(container) == Role::Sidecar)
        .map(|(_, status)| status);
    let unready: Vec<&str> =
        sidecars.chain(statuses).filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    (!unready.is_empty())
        .then(|| ("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))))
}

/// Readiness gates name conditions that somebody else sets; nobody does here, so a pod that has any is not ready, and says so.
fn gates(inputs: &Inputs<'_>) -> Unmet {
    let gates = inputs.pod.spec.as_ref()?.readiness_gates.as_ref()?;
    let messages: Vec<String> = gates
        .iter()
        .map(|gate| {
            format!(
                "corresponding condition of pod readiness gate \"{}\" does not exist.",
                gate.condition_type
            )
        })
        .collect();
    (!messages.is_empty()).then(|| ("ReadinessGatesNotReady", messages.join(", ")))
}
