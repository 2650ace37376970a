//! A pod's status: what `kubectl get pod -o yaml` shows below `status`, derived from what is observed.
//!
//! Pure. The rules are those of `pkg/kubelet/kubelet_pods.go` (phase), `kuberuntime_container.go` (container states),
//! `pkg/kubelet/status/generate.go` (conditions) and `status_manager.go` (the length of messages); times are cut to whole seconds as the
//! API does.

mod conditions;
mod containers;
mod phase;
#[cfg(test)]
mod tests;
mod vanished;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{Timestamp, Unit};

use self::phase::Phase;
pub use self::vanished::Vanished;
use super::disruption::Disruption;
use super::failure::Failure;
use super::observed::Observed;
use crate::cri::ContainerId;
use crate::scheduling::is_unscheduled;

/// How many bytes the termination messages of all containers of a pod may have, each an equal part of them.
const MESSAGE_BYTES: usize = 12 * 1024;

/// What a status is derived from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The pod as it should be, with the QoS class in its present status if it has one.
    pub pod: &'a Pod,
    /// What the runtime says.
    pub observed: &'a Observed,
    /// What the probes say.
    pub probes: &'a dyn ProbeStates,
    /// Why a container that should run doesn't, by its name.
    pub waiting: &'a BTreeMap<String, Waiting>,
    /// The containers that were known, by name, and of which the runtime has no record now.
    pub vanished: &'a BTreeMap<String, Vanished>,
    /// Whether the plan still wants another sandbox.
    pub sandbox: SandboxNeed,
    /// Whether the pod is on its way out.
    pub ending: Ending,
    /// Why the pod has failed, if it has.
    pub failure: Option<&'a Failure>,
    /// What the pod is ended for before its time, if it is.
    pub disruption: Option<Disruption>,
    /// The pod's QoS class.
    pub qos_class: &'a str,
    /// The conditions as they were last told, whose transition times go on while nothing changes.
    pub previous: &'a [PodCondition],
    /// Whether the runtime can mount read-only all the way down for this pod; `None` where nobody has asked it.
    pub recursive_read_only: Option<bool>,
    /// The node's addresses, the primary one first.
    pub host_ips: &'a [IpAddr],
    /// The pod's addresses, the primary one first.
    pub pod_ips: &'a [IpAddr],
    /// When the pod was first seen.
    pub start_time: Timestamp,
    /// The wall clock.
    pub now: Timestamp,
}

/// What the probes say about one instance of a container.
pub trait ProbeStates {
    /// Whether it has started up.
    fn is_started(&self, name: &str, id: &ContainerId) -> bool;
    /// Whether it is ready, given that it runs and has started up.
    fn is_ready(&self, name: &str, id: &ContainerId) -> bool;
}

/// Why a container waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `CrashLoopBackOff`, `ErrImagePull` …
    pub reason: String,
    /// What happened, for people.
    pub message: String,
}

/// Whether a sandbox must be made before anything can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxNeed {
    /// The present one is usable.
    Usable,
    /// There is none, or it must be replaced.
    Missing,
}

/// Whether a pod is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It should run.
    No,
    /// It was told to stop.
    Yes,
}

/// Whether nothing of a pod runs, or ever has: it has failed, or waits for a place on the node.
pub fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded")) || is_unscheduled(pod)
}

/// Derives the status.
pub fn derive(inputs: Inputs<'_>) -> PodStatus {
    let spec = inputs.pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let regular = spec.map_or(&[][..], |spec| &spec.containers);
    let default_waiting = waiting_reason(inputs.pod);

    let mut init_statuses: Vec<_> =
        init.iter().map(|container| containers::status(&inputs, container, default_waiting)).collect();
    let mut statuses: Vec<_> =
        regular.iter().map(|container| containers::status(&inputs, container, default_waiting)).collect();
    statuses.sort_by(|a, b| a.name.cmp(&b.name));
    let limit = spec.map_or(MESSAGE_BYTES, message_limit);
    for status in init_statuses.iter_mut().chain(&mut statuses) {
        containers::limit_messages(status, limit);
    }

    let phase = phase::of(init, &init_statuses, &statuses, &inputs);
    let conditions = conditions::of(&inputs, phase, &init_statuses, &statuses);
    // While something of it runs the pod has not failed yet, whatever will become of it.
    let failure = inputs.failure.filter(|_| phase == Phase::Failed);
    // A pod that was refused never had containers to tell of.
    if failure.is_some() && inputs.observed.containers.is_empty() && inputs.vanished.is_empty() {
        (init_statuses, statuses) = (Vec::new(), Vec::new());
    }
    if phase.is_terminal() {
        vanished::at_the_end(init, &mut init_statuses, &mut statuses);
    }
    PodStatus {
        phase: Some(phase.as_str().to_owned()),
        reason: failure.map(|failure| failure.reason.as_str().to_owned()),
        message: failure.map(|failure| failure.message.clone()),
        conditions: Some(conditions),
        host_ip: inputs.host_ips.first().map(ToString::to_string),
        host_ips: some_if_any(inputs.host_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        pod_ip: inputs.pod_ips.first().map(ToString::to_string),
        pod_ips: some_if_any(inputs.pod_ips.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()),
        start_time: Some(time(inputs.start_time)),
        init_container_statuses: some_if_any(init_statuses),
        container_statuses: some_if_any(statuses),
        qos_class: Some(inputs.qos_class.to_owned()),
        ..PodStatus::default()
    }
}

/// The reason of a container that waits and has none of its own.
pub fn waiting_reason(pod: &Pod) -> &'static str {
    let init = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    if init.is_empty() { "ContainerCreating" } else { "PodInitializing" }
}

/// How many bytes each container's termination message may have.
fn message_limit(spec: &PodSpec) -> usize {
    let others =
        spec.init_containers.iter().map(Vec::len).chain(spec.ephemeral_containers.iter().map(Vec::len));
    MESSAGE_BYTES / (spec.containers.len() + others.sum::<usize>()).max(1)
}

fn some_if_any<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn time(at: Timestamp) -> Time {
    Time(at.round(Unit::Second).map_or(at, |rounded| if rounded > at { cut(at) } else { rounded }))
}

fn cut(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
