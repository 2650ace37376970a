//! A container's annotations: enough to judge and to stop it without its manifest.
//!
//! Rule: `newContainerAnnotations` in the kubelet's `pkg/kubelet/kuberuntime/labels.go`. Handlers and ports are JSON as Go writes it:
//! fields in the order of its types, empty ones left out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerPort, HTTPGetAction, LifecycleHandler};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Serialize;

use super::go_json::to_go_json;
use super::hash::container_hash;
use super::view::PodView;

/// Tells whether the container's image has changed.
pub const HASH: &str = "io.kubernetes.container.hash";
/// How many containers of this name went before in the pod.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Where the container writes its last words.
pub const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Whether its log stands in for them.
pub const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// What runs before it is stopped.
pub const PRE_STOP_HANDLER: &str = "io.kubernetes.container.preStopHandler";
/// Its ports.
pub const PORTS: &str = "io.kubernetes.container.ports";
/// Seconds it has to stop.
pub const TERMINATION_GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";
/// Seconds it has to stop now that its pod is being deleted.
pub const DELETION_GRACE_PERIOD: &str = "io.kubernetes.pod.deletionGracePeriod";

/// The annotations of a container's `attempt`th run.
pub(super) fn of_container(
    pod: &PodView<'_>,
    container: &Container,
    attempt: u32,
) -> BTreeMap<String, String> {
    let image = container.image.as_deref().unwrap_or_default();
    let mut annotations = BTreeMap::new();
    let mut set = |key: &str, value: String| annotations.insert(key.to_owned(), value);
    set(HASH, container_hash(&container.name, image));
    set(RESTART_COUNT, attempt.to_string());
    set(TERMINATION_MESSAGE_PATH, container.termination_message_path.clone().unwrap_or_default());
    set(TERMINATION_MESSAGE_POLICY, container.termination_message_policy.clone().unwrap_or_default());
    if let Some(seconds) = pod.deletion_grace_seconds {
        set(DELETION_GRACE_PERIOD, seconds.to_string());
    }
    if let Some(seconds) = pod.spec.termination_grace_period_seconds {
        set(TERMINATION_GRACE_PERIOD, seconds.to_string());
    }
    let pre_stop = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    if let Some(handler) = pre_stop {
        set(PRE_STOP_HANDLER, to_go_json(&GoHandler::from(handler)));
    }
    let ports: Vec<GoPort<'_>> = container.ports.iter().flatten().map(GoPort::from).collect();
    if !ports.is_empty() {
        set(PORTS, to_go_json(&ports));
    }
    annotations
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GoPort<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_port: Option<i32>,
    container_port: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'a str>,
    #[serde(rename = "hostIP", skip_serializing_if = "Option::is_none")]
    host_ip: Option<&'a str>,
}

impl<'a> From<&'a ContainerPort> for GoPort<'a> {
    fn from(port: &'a ContainerPort) -> Self {
        Self {
            name: filled(port.name.as_ref()),
            host_port: port.host_port.filter(|port| *port != 0),
            container_port: port.container_port,
            protocol: filled(port.protocol.as_ref()),
            host_ip: filled(port.host_ip.as_ref()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GoHandler<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    exec: Option<GoExec<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_get: Option<GoHttpGet<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_socket: Option<GoTcpSocket<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sleep: Option<GoSleep>,
}

#[derive(Serialize)]
struct GoExec<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    command: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GoHttpGet<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    port: &'a IntOrString,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    http_headers: Vec<GoHeader<'a>>,
}

#[derive(Serialize)]
struct GoHeader<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct GoTcpSocket<'a> {
    port: &'a IntOrString,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
}

#[derive(Serialize)]
struct GoSleep {
    seconds: i64,
}

impl<'a> From<&'a LifecycleHandler> for GoHandler<'a> {
    fn from(handler: &'a LifecycleHandler) -> Self {
        let exec = handler.exec.as_ref();
        let socket = handler.tcp_socket.as_ref();
        Self {
            exec: exec.map(|exec| GoExec { command: exec.command.as_deref().unwrap_or_default() }),
            http_get: handler.http_get.as_ref().map(GoHttpGet::from),
            tcp_socket: socket
                .map(|socket| GoTcpSocket { port: &socket.port, host: filled(socket.host.as_ref()) }),
            sleep: handler.sleep.as_ref().map(|sleep| GoSleep { seconds: sleep.seconds }),
        }
    }
}

impl<'a> From<&'a HTTPGetAction> for GoHttpGet<'a> {
    fn from(get: &'a HTTPGetAction) -> Self {
        let headers = get.http_headers.iter().flatten();
        Self {
            path: filled(get.path.as_ref()),
            port: &get.port,
            host: filled(get.host.as_ref()),
            scheme: filled(get.scheme.as_ref()),
            http_headers: headers.map(|h| GoHeader { name: &h.name, value: &h.value }).collect(),
        }
    }
}

fn filled(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{container, pod, pod_spec};
    use super::*;

    fn annotated(fields: &serde_json::Value) -> BTreeMap<String, String> {
        let mut json = serde_json::to_value(container("c", "{}")).unwrap();
        json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let container = serde_json::from_value(json).unwrap();
        let mut pod = pod(pod_spec(Vec::new()));
        pod.metadata.deletion_grace_period_seconds = Some(7);
        pod.spec.as_mut().unwrap().termination_grace_period_seconds = Some(30);
        of_container(&PodView::of(&pod).unwrap(), &container, 4)
    }

    #[test]
    fn the_plain_ones_are_always_there() {
        let made = annotated(&serde_json::json!({"image": "foo/image:v1", "name": "test"}));
        let expected = [
            (HASH, "309b502f"),
            (RESTART_COUNT, "4"),
            (TERMINATION_MESSAGE_PATH, ""),
            (TERMINATION_MESSAGE_POLICY, ""),
            (DELETION_GRACE_PERIOD, "7"),
            (TERMINATION_GRACE_PERIOD, "30"),
        ];
        assert_eq!(made, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn where_and_how_the_last_words_are_left_is_noted() {
        let made = annotated(&serde_json::json!({
            "terminationMessagePath": "/dev/log", "terminationMessagePolicy": "FallbackToLogsOnError"}));
        assert_eq!(made[TERMINATION_MESSAGE_PATH], "/dev/log");
        assert_eq!(made[TERMINATION_MESSAGE_POLICY], "FallbackToLogsOnError");
    }

    #[test]
    fn ports_are_written_as_go_writes_them() {
        let made = annotated(&serde_json::json!({"ports": [
            {"containerPort": 80, "hostPort": 80, "name": "http", "protocol": "TCP", "hostIP": "192.0.2.1"},
            {"containerPort": 53, "hostPort": 0, "protocol": "UDP"},
        ]}));
        assert_eq!(
            made[PORTS],
            r#"[{"name":"http","hostPort":80,"containerPort":80,"protocol":"TCP","hostIP":"192.0.2.1"},{"containerPort":53,"protocol":"UDP"}]"#
        );
    }

    #[test]
    fn handlers_are_written_as_go_writes_them() {
        for (handler, written) in [
            (
                serde_json::json!({"exec": {"command": ["sh", "-c", "a && b > c"]}}),
                r#"{"exec":{"command":["sh","-c","a \u0026\u0026 b \u003e c"]}}"#,
            ),
            (
                serde_json::json!({"httpGet": {"scheme": "HTTP", "port": "web", "path": "/x",
                    "httpHeaders": [{"value": "v", "name": "n"}]}}),
                r#"{"httpGet":{"path":"/x","port":"web","scheme":"HTTP","httpHeaders":[{"name":"n","value":"v"}]}}"#,
            ),
            (
                serde_json::json!({"tcpSocket": {"host": "h", "port": 8080}}),
                r#"{"tcpSocket":{"port":8080,"host":"h"}}"#,
            ),
            (serde_json::json!({"sleep": {"seconds": 5}}), r#"{"sleep":{"seconds":5}}"#),
        ] {
            let made = annotated(&serde_json::json!({"lifecycle": {"preStop": handler}}));
            assert_eq!(made[PRE_STOP_HANDLER], written);
        }
    }
}
