//! A node that runs short, and pods that take more than they may.

use std::fs;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::kit::{Node, container_ids, daemon_set, is_ready, wait_until};

const SLEEPER: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
";

/// Writes more than its volume may hold, the first time that it runs on this node.
const WRITER: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command:
  - sh
  - -c
  - |
    if mkdir /mark/written; then dd if=/dev/zero of=/scratch/file bs=1M count=8; fi
    exec sleep infinity
  volumeMounts:
  - {name: scratch, mountPath: /scratch}
  - {name: mark, mountPath: /mark}
volumes:
- name: scratch
  emptyDir: {sizeLimit: 4Mi}
- name: mark
  hostPath: {path: MARK, type: DirectoryOrCreate}
";

fn reason(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    (status.phase.as_deref() == Some("Failed")).then_some(status.reason.as_deref()).flatten()
}

fn message(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default()
}

fn has_condition(node: &Node, kind: &str, status: &str) -> bool {
    let path = format!("/api/v1/nodes/{}", node.slot().node_name());
    let conditions = node.agent.api.object(&path)["status"]["conditions"].clone();
    conditions.as_array().unwrap().iter().any(|it| it["type"] == kind && it["status"] == status)
}

#[test]
fn a_pod_whose_volume_outgrows_its_limit_is_evicted_and_replaced_and_leaves_nothing() {
    let Some(node) = Node::start() else { return };
    let mark = node.path("mark").display().to_string();
    node.apply("app.yaml", daemon_set("app", &WRITER.replace("MARK", &mark)));
    let first = node.agent.wait_ready("app");
    let (name, uid) = (first.metadata.name.clone().unwrap(), first.metadata.uid.clone().unwrap());
    let excess = "Usage of EmptyDir volume \"scratch\" exceeds the limit \"4Mi\". ";
    node.agent.wait_event(&name, "Evicted", |said| said == excess);
    node.agent.wait_event("app", "FailedDaemonPod", |said| said.contains(&name));
    let other = |pod: &Pod| pod.metadata.uid.as_ref() != Some(&uid) && is_ready(pod);
    let second = node.agent.wait_pod("app", "another pod", other);
    assert_ne!(second.metadata.name, first.metadata.name);
    assert!(!node.path("state/pods").join(&uid).exists());
    let left = |text: &str| text.contains(&uid);
    assert!(!node.cgroups().iter().any(|path| left(path)), "{:?}", node.cgroups());
    assert_eq!((node.sandboxes().len(), node.containers().len()), (1, 1));
    let (_, metrics) = node.agent.api.get("/metrics").unwrap();
    assert!(
        metrics.contains("daemonlet_evictions_total{eviction_signal=\"emptydirfs.limit\"} 1"),
        "{metrics}"
    );
    node.delete("app.yaml");
    node.agent.wait_gone("app");
}

#[test]
fn a_node_whose_disk_is_short_says_so_evicts_and_refuses_and_recovers() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SLEEPER));
    let critical = SLEEPER.replace("containers:", "priorityClassName: system-node-critical\ncontainers:");
    node.apply("critical.yaml", daemon_set("critical", &critical));
    let first = node.agent.wait_ready("app");
    let kept = node.agent.wait_ready("critical");
    assert!(has_condition(&node, "DiskPressure", "False"));

    // No disk has so much free, so the node is short from the next start on.
    node.agent.kill9();
    let short = "evictionHard: {nodefs.available: 99.9%}\nevictionPressureTransitionPeriod: 1s\n";
    fs::write(node.path("config.d/test.yaml"), short).unwrap();
    node.agent.launch();
    node.agent.wait_until_ready();
    let name = first.metadata.name.clone().unwrap();
    node.agent.wait_event(&name, "Evicted", |said| {
        said.starts_with("The node was low on resource: ephemeral-storage. Threshold quantity: ")
    });
    node.agent.wait_event(&node.slot().node_name(), "EvictionThresholdMet", |said| {
        said == "Attempting to reclaim ephemeral-storage"
    });
    node.agent.wait_event(&node.slot().node_name(), "NodeHasDiskPressure", |said| {
        said.ends_with("status is now: NodeHasDiskPressure")
    });
    // Its successors are refused, each later than the one before.
    let refused = node.agent.wait_pod("app", "refused", |pod| {
        pod.metadata.name != first.metadata.name && reason(pod) == Some("Evicted")
    });
    assert_eq!(message(&refused), "Pod was rejected: The node had condition: [DiskPressure]. ");
    let table = node.agent.says(&["get", "pods", "-n", "test"]);
    assert!(table.contains("Evicted"), "{table}");
    let path = format!("/api/v1/nodes/{}", node.slot().node_name());
    let object: Value = node.agent.api.object(&path);
    assert!(object["spec"]["taints"].to_string().contains("node.kubernetes.io/disk-pressure"), "{object}");
    let still = node.agent.wait_ready("critical");
    assert_eq!(container_ids(&still), container_ids(&kept), "a critical pod is never evicted");

    // An agent that starts anew doesn't bring back what has failed; with room enough a new pod takes its place.
    node.agent.kill9();
    fs::write(node.path("config.d/test.yaml"), "").unwrap();
    node.agent.launch();
    node.agent.wait_until_ready();
    let last = node.agent.wait_ready("app");
    assert_ne!(last.metadata.name, first.metadata.name);
    wait_until("no pressure", || has_condition(&node, "DiskPressure", "False"));
    assert_eq!(container_ids(&node.agent.wait_ready("critical")), container_ids(&kept));
    assert_eq!((node.sandboxes().len(), node.containers().len()), (2, 2));
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    assert_eq!((node.sandboxes().len(), node.containers().len()), (1, 1));
}
