//! Termination messages. Rule: `getTerminationMessage` in `pkg/kubelet/kuberuntime/kuberuntime_container.go`, and the budget of a pod's
//! messages in `pkg/kubelet/kubelet_pods.go`.

use k8s_openapi::api::core::v1::Pod;

use super::{container, spec, statuses};
use crate::kit::{Node, daemon_set};

/// How much all messages of a pod may come to.
const BUDGET: usize = 12 * 1024;

/// What a container's last instance has left: the message and the exit code.
fn left(pod: &Pod, container: &str) -> Option<(String, i32)> {
    let status = statuses(pod).remove(container)?;
    let now = status.state.and_then(|state| state.terminated);
    let ended = now.or_else(|| status.last_state.and_then(|state| state.terminated))?;
    Some((ended.message.unwrap_or_default(), ended.exit_code))
}

#[test]
fn what_a_container_says_last_is_in_its_status() {
    let Some(node) = Node::start() else { return };
    let fallback = "terminationMessagePolicy: FallbackToLogsOnError";
    let containers = [
        ("file", "echo bye > /dev/termination-log; exit 3", "", "bye\n", 3),
        ("elsewhere", "echo there > /said; exit 0", "terminationMessagePath: /said", "there\n", 0),
        ("silent", "echo in the log; exit 1", "", "", 1),
        ("log", "echo one; echo two >&2; exit 1", fallback, "one\ntwo\n", 1),
        ("both", "echo in the log; echo said > /dev/termination-log; exit 1", fallback, "said\n", 1),
        ("well", "echo in the log; exit 0", fallback, "", 0),
    ];
    let fill = "head -c 5000 /dev/zero | tr \"\\0\" x > /dev/termination-log; echo end >> /dev/termination-log; exit 1";
    let shell =
        |name: &str, script: &str, field: &str| container(name, &format!("[sh, -c, '{script}']"), field);
    let lines = containers.iter().map(|(name, script, field, ..)| shell(name, script, field));
    node.apply("app.yaml", daemon_set("app", &spec("", lines.chain([shell("long", fill, "")]))));
    let pod = node.agent.wait_pod("app", "every container has ended", |pod| {
        let names = containers.iter().map(|(name, ..)| *name).chain(["long"]);
        names.into_iter().all(|name| left(pod, name).is_some())
    });
    for (name, .., message, code) in containers {
        let (said, ended) = left(&pod, name).unwrap();
        assert_eq!(ended, code, "{name}");
        if name == "log" {
            // The two streams are two pipes: which line comes first is up to the scheduler.
            let mut lines: Vec<&str> = said.lines().collect();
            lines.sort_unstable();
            assert_eq!(lines, ["one", "two"]);
        } else {
            assert_eq!(said, message, "{name}");
        }
    }
    // The last 4096 bytes are read, and of those the pod's budget allows each container its part.
    let (long, _) = left(&pod, "long").unwrap();
    assert_eq!(long, "x".repeat(BUDGET / (containers.len() + 1)));
}
