//! The row of a pod. STATUS is not the phase but the most telling reason among the pod and its containers.

#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::cell::{NONE, or_none};
use super::{Cell, Column, since};
use crate::image::Pulling;

pub(super) const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Ready", "Ready containers of all containers that should run."),
    Column::text("Status", "The state of the pod and its containers in one word."),
    Column::text("Restarts", "How often containers were restarted, and when last."),
    Column::AGE,
    Column::text("IP", "The pod's address.").wide(),
    Column::text("Node", "The pod's node.").wide(),
    Column::text("Nominated Node", "The node kept free for the pod.").wide(),
    Column::text("Readiness Gates", "Conditions that are met, of those the pod names.").wide(),
];

pub(super) fn cells(pod: &Pod, now: Timestamp) -> Vec<Cell> {
    let no_spec = PodSpec::default();
    let no_status = PodStatus::default();
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    let status = pod.status.as_ref().unwrap_or(&no_status);
    let summary = Summary::of(pod, spec, status);
    let sidecars = spec.init_containers.iter().flatten().filter(|init| is_sidecar(init)).count();
    let restarts = match (summary.restarts.count, &summary.restarts.last) {
        (count @ 1.., Some(last)) => format!("{count} ({} ago)", since(Some(last), now)),
        (count, _) => count.to_string(),
    };
    let address = status.pod_ips.as_deref().unwrap_or_default().first().map(|ip| ip.ip.as_str());
    vec![
        pod.metadata.name.as_deref().unwrap_or_default().into(),
        format!("{}/{}", summary.ready, spec.containers.len() + sidecars).into(),
        summary.reason.into(),
        restarts.into(),
        since(pod.metadata.creation_timestamp.as_ref(), now).into(),
        or_none(address).into(),
        or_none(spec.node_name.as_deref()).into(),
        or_none(status.nominated_node_name.as_deref()).into(),
        readiness_gates(spec, status).into(),
    ]
}

/// Whether an init container is one that keeps running beside the others.
fn is_sidecar(init_container: &Container) -> bool {
    init_container.restart_policy.as_deref() == Some("Always")
}

fn readiness_gates(spec: &PodSpec, status: &PodStatus) -> String {
    let gates = spec.readiness_gates.as_deref().unwrap_or_default();
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let met = gates.iter().filter(|gate| is_true(status, &gate.condition_type)).count();
    format!("{met}/{}", gates.len())
}

fn is_true(status: &PodStatus, condition_type: &str) -> bool {
    let conditions = status.conditions.iter().flatten();
    conditions
        .filter(|condition| condition.type_ == condition_type)
        .any(|condition| condition.status == "True")
}

#[derive(Debug, Default)]
struct Restarts {
    count: i64,
    last: Option<Time>,
}

impl Restarts {
    fn add(&mut self, container: &ContainerStatus) {
        self.count += i64::from(container.restart_count);
        let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let finished = ended.and_then(|terminated| terminated.finished_at.clone());
        if self.last < finished {
            self.last = finished;
        }
    }
}

#[derive(Debug)]
struct Summary {
    reason: String,
    /// The pull that the pod waits for.
    pulling: Option<Pulling>,
    ready: usize,
    restarts: Restarts,
}

impl Summary {
    fn of(pod: &Pod, spec: &PodSpec, status: &PodStatus) -> Self {
        let phase = status.phase.as_deref().unwrap_or_default();
        let reason = status.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or(phase);
        let pulling = Pulling::of(&pod.metadata);
        let mut summary =
            Self { reason: reason.to_owned(), pulling, ready: 0, restarts: Restarts::default() };
        let is_gated = status.conditions.iter().flatten().any(|condition| {
            condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("SchedulingGated")
        });
        if is_gated {
            "SchedulingGated".clone_into(&mut summary.reason);
        }
        let (sidecar_restarts, is_initializing) = summary.add_init_containers(spec, status);
        if !is_initializing || is_true(status, "Initialized") {
            summary.restarts = sidecar_restarts;
            summary.add_containers(status);
        }
        if pod.metadata.deletion_timestamp.is_some() {
            if status.reason.as_deref() == Some("NodeLost") {
                "Unknown".clone_into(&mut summary.reason);
            } else if phase != "Succeeded" && phase != "Failed" {
                "Terminating".clone_into(&mut summary.reason);
            }
        }
        summary
    }

    /// Goes through the init containers up to the one that holds the pod up, if any does.
    fn add_init_containers(&mut self, spec: &PodSpec, status: &PodStatus) -> (Restarts, bool) {
        let init_containers = spec.init_containers.as_deref().unwrap_or_default();
        let mut sidecar_restarts = Restarts::default();
        for (index, container) in status.init_container_statuses.iter().flatten().enumerate() {
            self.restarts.add(container);
            let is_sidecar =
                init_containers.iter().any(|init| init.name == container.name && is_sidecar(init));
            if is_sidecar {
                sidecar_restarts.add(container);
            }
            let state = container.state.clone().unwrap_or_default();
            let waiting = state.waiting.unwrap_or_default();
            match (&state.terminated, waiting.reason.as_deref()) {
                (Some(ended), _) if ended.exit_code == 0 => continue,
                _ if is_sidecar && container.started == Some(true) => {
                    self.ready += usize::from(container.ready);
                    continue;
                }
                (Some(ended), _) => {
                    self.reason =
                        format!("Init:{}", ending(ended.reason.as_deref(), ended.signal, ended.exit_code));
                }
                (None, Some(reason)) if !reason.is_empty() && reason != "PodInitializing" => {
                    self.reason = format!("Init:{reason}");
                }
                (None, _) => {
                    let turn = format!("Init:{index}/{}", init_containers.len());
                    self.reason = self.with_progress(turn, &container.name);
                }
            }
            return (sidecar_restarts, true);
        }
        (sidecar_restarts, false)
    }

    fn add_containers(&mut self, status: &PodStatus) {
        let mut has_running = false;
        // From last to first, so that the first container's reason is the one shown.
        for container in status.container_statuses.iter().flatten().rev() {
            self.restarts.add(container);
            let state = container.state.clone().unwrap_or_default();
            let waiting = state.waiting.unwrap_or_default();
            if let Some(reason) = waiting.reason.filter(|reason| !reason.is_empty()) {
                self.reason = self.with_progress(reason, &container.name);
            } else if let Some(ended) = state.terminated {
                self.reason = ending(ended.reason.as_deref(), ended.signal, ended.exit_code);
            } else if container.ready && state.running.is_some() {
                has_running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && has_running {
            let reason = if is_true(status, "Ready") { "Running" } else { "NotReady" };
            reason.clone_into(&mut self.reason);
        }
    }

    /// With how far the pull is that the container waits for, which kubectl cannot tell.
    fn with_progress(&self, reason: String, container: &str) -> String {
        match self.pulling.as_ref().filter(|pulling| pulling.container == container) {
            Some(pulling) => format!("{reason} ({})", pulling.received),
            None => reason,
        }
    }
}

fn ending(reason: Option<&str>, signal: Option<i32>, exit_code: i32) -> String {
    match (reason.unwrap_or_default(), signal.unwrap_or_default()) {
        ("", 0) => format!("ExitCode:{exit_code}"),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
