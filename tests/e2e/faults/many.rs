//! As many pods as a node takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;

use super::SPEC;
use crate::kit::{Node, container_ids, daemon_set, is_ready};

/// Runs so many DaemonSets, kills the agent over them, and lets them go.
fn run_and_adopt_and_delete(count: usize) {
    let Some(mut node) = Node::configured("store: {emptyHold: 1s}\n") else { return };
    let spec = SPEC
        .replace("containers:", "hostNetwork: true\ncontainers:")
        .replace("[sleep, infinity]", "[sh, -c, 'trap \"exit 0\" TERM; sleep infinity & wait']");
    let mut manifests = String::new();
    for number in 0..count {
        write!(manifests, "---\n{}", daemon_set(&format!("app{number:03}"), &spec)).unwrap();
    }
    let mut begun = Instant::now();
    let mut lap = |what: &str| {
        println!("{count} pods: {what} in {:.1?}", begun.elapsed());
        begun = Instant::now();
    };
    let identities = |pods: &[Pod]| -> BTreeMap<String, BTreeMap<String, String>> {
        pods.iter().map(|pod| (pod.metadata.uid.clone().unwrap(), container_ids(pod))).collect()
    };
    let all_ready = |node: &Node| {
        let waited = node.agent.api.wait("/api/v1/pods", |objects| {
            let pods = objects.values().map(|pod| serde_json::from_value(pod.clone()).unwrap());
            let pods: Vec<Pod> = pods.filter(is_ready).collect();
            (pods.len() == count && objects.len() == count).then_some(pods)
        });
        identities(&waited.unwrap())
    };
    node.apply("all.yaml", &manifests);
    let before = all_ready(&node);
    lap("ready");
    node.agent.kill9();
    node.agent.launch();
    assert_eq!(all_ready(&node), before);
    lap("found again");
    node.wait_exact();
    lap("compared");
    // An empty file is no deletion; the file's own is.
    node.delete("all.yaml");
    node.wait_empty();
    lap("gone");
}

#[test]
fn forty_pods_outlive_their_agent_and_go_without_a_trace() {
    run_and_adopt_and_delete(40);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn a_full_node_of_110_pods_outlives_its_agent_and_goes_without_a_trace() {
    run_and_adopt_and_delete(110);
}
