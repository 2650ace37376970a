//! Pods that a namespace or the node forbids are told of and not made, and what runs stays.

use crate::kit::{Node, container_ids, daemon_set};

const PLAIN: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
";

fn privileged(name: &str) -> String {
    daemon_set(name, &format!("{PLAIN}  securityContext: {{privileged: true}}\n"))
}

fn namespace(labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: test\n  labels: {{{labels}}}\n")
}

const ENFORCE_BASELINE: &str = "pod-security.kubernetes.io/enforce: baseline";
const VIOLATES: &str = "is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"main\" must not set \
                        securityContext.privileged=true)";

#[test]
fn a_namespace_that_enforces_baseline_refuses_a_privileged_pod_and_runs_another() {
    let Some(node) = Node::prepared("") else { return };
    let mut node = node;
    node.apply("namespace.yaml", namespace(ENFORCE_BASELINE));
    node.apply("forbidden.yaml", privileged("forbidden"));
    node.apply("plain.yaml", daemon_set("plain", PLAIN));
    node.agent.launch();
    node.agent.wait_until_ready();
    node.agent.wait_ready("plain");
    let event = node.agent.wait_event("forbidden", "FailedCreate", |message| message.ends_with(VIOLATES));
    let message = event["message"].as_str().unwrap();
    assert!(message.starts_with("Error creating: pods \"forbidden-"), "{message}");
    assert_eq!(node.sandboxes().len(), 1, "the runtime never heard of the forbidden pod");

    // The level is lowered: the pod is made without anybody touching its DaemonSet.
    node.apply("namespace.yaml", namespace("pod-security.kubernetes.io/warn: baseline"));
    node.agent.wait_ready("forbidden");
    node.agent.wait_event("forbidden", "PodSecurity", |message| message.starts_with("would violate"));
}

#[test]
fn an_update_that_would_be_refused_leaves_the_old_pod_running() {
    let Some(mut node) = Node::start() else { return };
    node.apply("namespace.yaml", namespace(ENFORCE_BASELINE));
    node.apply("app.yaml", daemon_set("app", PLAIN));
    let before = node.agent.wait_ready("app");
    node.apply("app.yaml", privileged("app"));
    node.agent.wait_event("app", "FailedCreate", |message| message.ends_with(VIOLATES));
    // Another DaemonSet that becomes ready proves that the rounds have gone on.
    node.apply("other.yaml", daemon_set("other", PLAIN));
    node.agent.wait_ready("other");
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&before));
    node.agent.restart();
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&before), "also over a restart");

    node.apply("namespace.yaml", namespace(""));
    let after = node.agent.wait_pod("app", "the new pod", |pod| {
        pod.metadata.uid != before.metadata.uid && crate::kit::is_ready(pod)
    });
    assert_ne!(after.metadata.name, before.metadata.name);
}

#[test]
fn a_namespace_that_begins_to_enforce_stops_nothing_that_runs() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", privileged("app"));
    let before = node.agent.wait_ready("app");
    node.apply("namespace.yaml", namespace("pod-security.kubernetes.io/enforce: restricted"));
    node.apply("late.yaml", privileged("late"));
    node.agent.wait_event("late", "FailedCreate", |message| message.contains("\"restricted:latest\""));
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&before));
}

#[test]
fn the_nodes_own_lists_refuse_paths_and_registries_by_their_fields() {
    let Some(node) =
        Node::configured("allowedHostPaths: [/var/log]\nallowedImageRegistries: [docker.io/library]\n")
    else {
        return;
    };
    let mounting = |path: &str| format!("{PLAIN}volumes: [{{name: h, hostPath: {{path: {path}}}}}]\n");
    node.apply("etc.yaml", daemon_set("etc", &mounting("/etc")));
    node.apply("logs.yaml", daemon_set("logs", &mounting("/var/log")));
    node.apply("image.yaml", daemon_set("image", &PLAIN.replace("busybox:1", "registry.invalid/x:1")));
    node.agent.wait_ready("logs");
    node.agent.wait_event("etc", "FailedCreate", |message| {
        message.contains("spec.volumes[0].hostPath.path: Forbidden: \"/etc\"")
            && message.contains("allowedHostPaths")
    });
    node.agent.wait_event("image", "FailedCreate", |message| {
        message.contains("spec.containers[0].image: Forbidden: \"registry.invalid/x\"")
    });
    assert_eq!(node.sandboxes().len(), 1);
}
