//! The node's conditions in the kubelet's words.
//!
//! Source: `pkg/kubelet/nodestatus/setters.go`.

use k8s_openapi::api::core::v1::NodeCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::Pressure;

/// What is known of the container runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// Name and version as `containerd://1.7.2`; empty while the runtime has not answered yet.
    pub version: String,
    /// Whether pods can run.
    pub readiness: Readiness,
    /// Whether the machine goes down, which makes the node not ready.
    pub going_down: bool,
    /// When the readiness became what it is.
    pub since: Timestamp,
    /// When the agent started.
    pub started: Timestamp,
}

/// Whether pods can run on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// They can.
    Ready,
    /// They can't.
    NotReady {
        /// What is missing and what to do about it.
        message: String,
    },
}

/// The four conditions that every node has.
pub(super) fn conditions(runtime: &Runtime, pressure: &Pressure) -> Vec<NodeCondition> {
    let (ready, reason, message) = match &runtime.readiness {
        _ if runtime.going_down => ("False", "KubeletNotReady", "node is shutting down"),
        Readiness::Ready => ("True", "KubeletReady", "kubelet is posting ready status"),
        Readiness::NotReady { message } => ("False", "KubeletNotReady", message.as_str()),
    };
    let ready = condition("Ready", ready, reason, message, runtime.since);
    let told = |mut condition: NodeCondition| {
        // When it was last looked at is told when it changes, and of the start: an agent that kept it up to date would never be idle.
        let since = condition.last_transition_time.as_ref().map_or(runtime.started, |time| time.0);
        condition.last_heartbeat_time = Some(Time(since.max(runtime.started)));
        condition
    };
    pressure.conditions().chain([ready]).map(told).collect()
}

pub(super) fn condition(
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    since: Timestamp,
) -> NodeCondition {
    NodeCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(Time(since)),
        last_heartbeat_time: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_when_its_runtime_is_and_the_machine_stays_up() {
        let missing = || Readiness::NotReady { message: "no network".to_owned() };
        for (readiness, going_down, expected) in [
            (Readiness::Ready, false, ["True", "KubeletReady", "kubelet is posting ready status"]),
            (missing(), false, ["False", "KubeletNotReady", "no network"]),
            (Readiness::Ready, true, ["False", "KubeletNotReady", "node is shutting down"]),
            (missing(), true, ["False", "KubeletNotReady", "node is shutting down"]),
        ] {
            let (since, started) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
            let runtime = Runtime { version: String::new(), readiness, going_down, since, started };
            let all = conditions(&runtime, &Pressure::none(started));
            let ready = all.iter().find(|condition| condition.type_ == "Ready").unwrap();
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            assert_eq!([ready.status.clone(), text(&ready.reason), text(&ready.message)], expected);
        }
    }
}
