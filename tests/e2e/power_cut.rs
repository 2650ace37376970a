//! What a power cut leaves half-written.

use std::fs;

use crate::kit::{Node, daemon_set, wait_until};

const SPEC: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
";

#[test]
fn an_empty_result_of_cni_keeps_no_pod_from_going() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    node.agent.wait_ready("app");
    let sandbox = node.sandboxes().pop().unwrap().id;
    let results = fs::read_dir("/var/lib/cni/results").unwrap().flatten().map(|entry| entry.path());
    let ours: Vec<_> = results.filter(|path| path.to_string_lossy().contains(&sandbox)).collect();
    assert!(!ours.is_empty(), "the library keeps no result of {sandbox}");
    for result in ours {
        fs::write(result, "").unwrap();
    }
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    wait_until("nothing is left", || node.sandboxes().is_empty() && node.containers().is_empty());
}
