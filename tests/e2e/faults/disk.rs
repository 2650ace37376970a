//! The agent's own disk is full.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use nix::mount::{MsFlags, mount};
use serde_json::Value;

use super::SPEC;
use crate::kit::{Node, container_ids, daemon_set, is_ready};

const CRITICAL: &str = "priorityClassName: system-node-critical\ncontainers:";

/// A node whose agent keeps its state on a disk of four megabytes, with a pod that runs.
fn node_with_a_small_disk(config: &str) -> Option<Node> {
    let mut node = Node::prepared(config)?;
    let state = node.path("state");
    fs::create_dir(&state).unwrap();
    mount(Some("tmpfs"), &state, Some("tmpfs"), MsFlags::empty(), Some("size=4m")).unwrap();
    node.apply("app.yaml", daemon_set("app", SPEC));
    node.apply("critical.yaml", daemon_set("critical", &SPEC.replace("containers:", CRITICAL)));
    node.agent.launch();
    Some(node)
}

fn fill(node: &Node) {
    let mut file = fs::File::create(node.path("state/filler")).unwrap();
    while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
}

fn make_room(node: &Node) {
    fs::remove_file(node.path("state/filler")).unwrap();
}

/// The records by their files, each of which must be whole.
fn records(directory: &Path) -> BTreeMap<String, Value> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let whole = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "json"));
    whole
        .map(|entry| {
            let text = fs::read(entry.path()).unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let record =
                serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{name} is not whole: {error}"));
            (name, record)
        })
        .collect()
}

#[test]
fn a_full_disk_loses_no_record_and_what_it_held_up_happens_when_there_is_room() {
    let Some(mut node) = node_with_a_small_disk("") else { return };
    let app = node.agent.wait_ready("app");
    let critical = node.agent.wait_ready("critical");
    let before = records(&node.path("state/records"));
    assert_eq!(before.len(), 2);
    fill(&node);
    node.apply("new.yaml", daemon_set("new", SPEC));
    node.agent.wait_event("new", "FailedCreate", |said| {
        said.starts_with("Error creating: ") && said.contains("No space left on device")
    });
    // A stop can't be written down, and happens all the same.
    node.delete("critical.yaml");
    node.agent.wait_gone("critical");
    for _ in 0..3 {
        fill(&node);
        node.agent.kill9();
        node.agent.launch();
        assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&app));
        let after = records(&node.path("state/records"));
        assert!(after.iter().all(|(name, record)| before[name]["pod"] == record["pod"]), "{after:#?}");
    }
    // Four agents have said so, each once.
    let complaints = node.agent.log().matches("the state directory can't be written").count();
    assert!((1..=4).contains(&complaints), "{complaints}");
    make_room(&node);
    node.agent.wait_ready("new");
    node.agent.wait_gone("critical");
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&app));
    node.apply("critical.yaml", daemon_set("critical", &SPEC.replace("containers:", CRITICAL)));
    let again = node.agent.wait_ready("critical");
    assert_ne!(again.metadata.uid, critical.metadata.uid);
    node.wait_exact();
    assert_eq!(records(&node.path("state/records")).len(), 3);
}

#[test]
fn a_full_disk_under_the_eviction_threshold_costs_what_is_not_critical_and_heals() {
    let config = "evictionHard:\n  nodefs.available: 10%\nevictionPressureTransitionPeriod: 1s\n";
    let Some(mut node) = node_with_a_small_disk(config) else { return };
    let app = node.agent.wait_ready("app");
    let critical = container_ids(&node.agent.wait_ready("critical"));
    fill(&node);
    node.agent.wait_event(app.metadata.name.as_deref().unwrap(), "Evicted", |said| {
        said.starts_with("The node was low on resource: ephemeral-storage.")
    });
    let has_failed = |pod: &Pod| pod.status.as_ref().is_some_and(|it| it.phase.as_deref() == Some("Failed"));
    node.agent.wait_pod("app", "failed", has_failed);
    // That it failed can't be written down; a new agent refuses it for the same reason.
    node.agent.restart();
    node.agent.wait_pod("app", "failed again", has_failed);
    assert_eq!(container_ids(&node.agent.wait_ready("critical")), critical);
    make_room(&node);
    let after = node
        .agent
        .wait_pod("app", "another one", |pod| is_ready(pod) && pod.metadata.uid != app.metadata.uid);
    assert_eq!(container_ids(&node.agent.wait_ready("critical")), critical);
    node.agent.wait_pods("app", "no failed pod beside it", |pods| {
        pods.len() == 1 && pods[0].metadata.uid == after.metadata.uid
    });
    node.wait_exact();
}
