//! A node without a network for pods, until a DaemonSet brings one.

use k8s_openapi::api::core::v1::Pod;

use crate::kit::{Node, Setup, daemon_set};

const SETUP: Setup = Setup {
    images: &["pause", "busybox", "cni-plugins"],
    sandbox_image: "localhost/daemonlet/pause:1",
    has_network: false,
};

const SPEC: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
";

#[test]
fn the_network_comes_from_a_daemon_set() {
    let Some(mut node) = Node::with(&SETUP, "") else { return };
    node.apply("web.yaml", daemon_set("web", SPEC));
    node.agent.launch();
    node.agent.wait_until_ready();
    node.agent.wait_event("web-", "NetworkNotReady", |message| {
        message.starts_with("network is not ready: container runtime network not ready: NetworkReady=false")
    });
    let waiting =
        node.agent.wait_pod("web", "waits for the network", |pod| reason(pod) == "ContainerCreating");
    assert_eq!(address(&waiting), "");
    assert!(node.sandboxes().is_empty());

    // The example, with paths and names of the test's own.
    let path = |name: &str| node.path(name).display().to_string();
    let example = include_str!("../../examples/cni/cni.yaml")
        .replace("/opt/cni/bin", &path("cni-bin"))
        .replace("/etc/cni/net.d", &path("cni"))
        .replace("/var/lib/cni/networks", &path("cni-data"))
        .replace("\"name\": \"pods\"", &format!("\"name\": {:?}", node.slot().network()))
        .replace("cni0", &node.slot().bridge())
        .replace("10.88.0.0/16", &format!("{}.0/24", node.slot().subnet()));
    node.apply("cni.yaml", example);
    let provider = node.agent.wait_ready("kube-system/cni");
    assert_eq!(provider.spec.as_ref().and_then(|spec| spec.host_network), Some(true));

    let pod = node.agent.wait_ready("web");
    assert_eq!(pod.metadata.uid, waiting.metadata.uid, "the same pod goes on");
    assert!(address(&pod).starts_with(&node.slot().subnet()), "{}", address(&pod));
}

fn reason(pod: &Pod) -> String {
    let statuses = pod.status.clone().unwrap_or_default().container_statuses.unwrap_or_default();
    let waiting = statuses.into_iter().next().and_then(|it| it.state?.waiting);
    waiting.and_then(|it| it.reason).unwrap_or_default()
}

fn address(pod: &Pod) -> String {
    pod.status.clone().unwrap_or_default().pod_ip.unwrap_or_default()
}
