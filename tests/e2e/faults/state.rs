//! What the agent has written down can't be read any more: what runs goes on.

use std::fs;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;

use super::SPEC;
use crate::kit::{Node, container_ids, daemon_set, wait_until};

const QUICK: &str = "runtimeRelistInterval: 1s\n";

/// The ids of all containers that run.
fn running(node: &Node) -> Vec<String> {
    let mut ids: Vec<String> =
        node.containers().into_iter().filter(|it| it.state == 1).map(|it| it.id).collect();
    ids.sort();
    ids
}

fn record_of(node: &Node, pod: &Pod) -> PathBuf {
    node.path(&format!("state/records/{}.json", pod.metadata.uid.as_deref().unwrap()))
}

/// A conversation with the runtime and a round of the agent's have surely come in between.
fn until_looked_again(node: &Node, name: &str) {
    node.apply(&format!("{name}.yaml"), daemon_set(name, SPEC));
    node.agent.wait_ready(name);
    node.delete(&format!("{name}.yaml"));
    node.agent.wait_gone(name);
}

#[test]
fn with_last_good_content_that_is_damaged_neither_an_empty_store_nor_a_refused_manifest_ends_a_pod() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    node.apply("other.yaml", daemon_set("other", SPEC));
    node.agent.wait_ready("app");
    node.agent.wait_ready("other");
    let before = running(&node);
    node.agent.stop();
    fs::write(node.path("state/store/last-good.json"), "{\"version\":1,").unwrap();
    node.delete("app.yaml");
    node.apply("other.yaml", daemon_set("other", &SPEC.replace("name: main", "name: MAIN")));
    node.agent.launch();
    node.agent.wait_event(&node.slot().node_name(), "RemovalsHeld", |said| said.contains("store confirm"));
    let status = node.agent.says(&["status"]);
    assert!(status.contains("Removals held:") && status.contains(" yet"), "{status}");
    node.apply("new.yaml", daemon_set("new", SPEC));
    node.agent.wait_ready("new");
    assert_eq!(running(&node).iter().filter(|id| before.contains(id)).count(), 2, "both run on");
    // Who says that it is meant has it, and what is in a file that can't be used is still there.
    node.agent.says(&["store", "confirm"]);
    wait_until("app is gone", || running(&node).len() == 2);
    assert_eq!(running(&node).iter().filter(|id| before.contains(id)).count(), 1, "the refused one runs on");
    node.apply("other.yaml", daemon_set("other", SPEC));
    let other = node.agent.wait_ready("other");
    assert!(container_ids(&other).values().all(|id| before.contains(id)), "and is looked after again");
}

#[test]
fn a_pod_whose_record_cant_be_used_runs_on_alone_until_it_can() {
    let Some(mut node) = Node::configured(QUICK) else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    let pod = node.agent.wait_ready("app");
    let before = running(&node);
    let record = record_of(&node, &pod);
    let good = fs::read_to_string(&record).unwrap();
    assert!(good.contains("\"format\":1"), "{good}");
    for (number, what) in ["not understood", "can't be read"].into_iter().enumerate() {
        node.agent.kill9();
        fs::remove_file(&record).unwrap();
        match number {
            0 => fs::write(&record, good.replace("\"format\":1", "\"format\":2")).unwrap(),
            _ => fs::create_dir(&record).unwrap(),
        }
        node.agent.launch();
        node.agent.wait_event("app", "PodUnattended", |said| said.contains(what));
        // Not even an update is a reason to end it, or to start another beside it.
        node.apply("app.yaml", daemon_set("app", &SPEC.replace("infinity", "1000000")));
        until_looked_again(&node, &format!("beacon-{number}"));
        assert_eq!(running(&node), before, "{what}");
        let status = node.agent.says(&["status"]);
        assert!(status.contains("PodUnattended"), "{status}");
        node.apply("app.yaml", daemon_set("app", SPEC));
        match number {
            0 => fs::remove_file(&record).unwrap(),
            _ => fs::remove_dir(&record).unwrap(),
        }
        fs::write(&record, &good).unwrap();
        assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&pod), "{what}");
    }
    // Of a record that is broken nothing can be known ever again.
    node.agent.kill9();
    fs::write(&record, &good[..good.len() / 2]).unwrap();
    node.agent.launch();
    let again = node.agent.wait_pod("app", "made anew", |it| it.metadata.uid != pod.metadata.uid);
    assert_ne!(container_ids(&again), container_ids(&pod));
    wait_until("one runs", || running(&node).len() == 1);
    // And whoever removes a DaemonSet ends its pod, whatever is on record.
    let again = node.agent.wait_ready("app");
    node.agent.kill9();
    let record = record_of(&node, &again);
    fs::write(&record, fs::read_to_string(&record).unwrap().replace("\"format\":1", "\"format\":2")).unwrap();
    node.agent.launch();
    node.agent.wait_event("app", "PodUnattended", |said| said.contains("not understood"));
    node.delete("app.yaml");
    node.wait_empty();
}
