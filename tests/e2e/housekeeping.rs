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
