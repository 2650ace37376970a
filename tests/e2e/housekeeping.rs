//! What must not grow without end on a node that nobody looks at.

use std::fs;

use crate::kit::{Node, daemon_set, wait_until};

const TALKATIVE: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'i=0; while true; do i=$((i + 1)); echo line $i of a talkative container; sleep 0.002; done']
";

#[test]
fn the_log_of_a_talkative_container_is_rotated_and_read_on() {
    let Some(node) = Node::configured("containerLogMaxSize: 32Ki\ncontainerLogMaxFiles: 3\n") else { return };
    node.apply("app.yaml", daemon_set("app", TALKATIVE));
    let pod = node.agent.wait_ready("app");
    let (name, uid) = (pod.metadata.name.clone().unwrap(), pod.metadata.uid.clone().unwrap());
    let dir = node.path(&format!("pod-logs/test_{name}_{uid}/main"));
    let files = || fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    wait_until("rotated twice", || {
        files().iter().any(|file| file.extension().is_some_and(|end| end == "gz"))
    });
    assert!(files().len() <= 3, "{:?}", files());
    // The container writes on under the name that is read.
    let last = || node.agent.says(&["logs", &name, "-n", "test", "--tail=1"]);
    let before = last();
    wait_until("it talks on", || last() != before);
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    assert!(!dir.exists());
}

const ELSEWHERE: &str = "
nodeSelector: {there: not-here}
containers:
- name: main
  image: IMAGE
";

fn image_named(node: &Node, part: &str) -> Option<String> {
    let images = node.containerd.ask(async |cri| cri.list_images().await.unwrap());
    images.into_iter().flat_map(|image| image.repo_tags).find(|name| name.contains(part))
}

/// Has the agent look at the disk once more.
fn look_again(node: &mut Node) {
    let tried =
        |node: &Node| node.agent.log().matches("Failed to garbage collect required amount of").count();
    let before = tried(node);
    node.agent.stop();
    node.agent.launch();
    wait_until("tried again", || tried(node) > before);
}

#[test]
fn images_that_nobody_needs_go_when_the_disk_is_full() {
    // Any disk is this full.
    let full = "imageGCHighThresholdPercent: 1\nimageGCLowThresholdPercent: 0\nimageMinimumGCAge: 0s\n";
    let Some(mut node) = Node::prepared(full) else { return };
    let elsewhere = |image: &str| daemon_set("elsewhere", &ELSEWHERE.replace("IMAGE", image));
    node.apply("app.yaml", daemon_set("app", TALKATIVE));
    node.apply("elsewhere.yaml", elsewhere(&image_named(&node, "fluentd").unwrap()));
    node.agent.launch();
    node.agent.wait_event("", "FreeDiskSpaceFailed", |_| true);
    let rollout = |node: &Node, verb| node.agent.says(&["rollout", verb, "ds/elsewhere", "-n", "test"]);
    node.apply("elsewhere.yaml", elsewhere("busybox:1"));
    wait_until("the store has another template", || rollout(&node, "history").contains("\n2 "));
    // What was asked for counts instead of it.
    rollout(&node, "undo");
    look_again(&mut node);
    for wanted in ["busybox", "fluentd", "pause"] {
        assert!(image_named(&node, wanted).is_some(), "{wanted}");
    }
    node.delete("elsewhere.yaml");
    wait_until("nobody names it", || {
        node.agent.cli(&["get", "ds", "elsewhere", "-n", "test"]).code != Some(0)
    });
    look_again(&mut node);
    wait_until("gone with the last that named it", || image_named(&node, "fluentd").is_none());
    for wanted in ["busybox", "pause"] {
        assert!(image_named(&node, wanted).is_some(), "{wanted}");
    }
}
