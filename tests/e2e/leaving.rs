//! daemonlet leaves a node: its pods end with their hooks, and nothing that it has kept stays.

use std::fs;

use crate::kit::{Node, daemon_set};

#[test]
fn a_node_that_leaves_ends_its_pods_with_their_hooks_and_keeps_nothing() {
    let Some(mut node) = Node::start() else { return };
    let words = node.path("words");
    fs::create_dir_all(&words).unwrap();
    let spec = format!(
        "
terminationGracePeriodSeconds: 5
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'trap \"exit 0\" TERM; sleep infinity & wait']
  volumeMounts: [{{name: words, mountPath: /words}}]
  lifecycle: {{preStop: {{exec: {{command: [sh, -c, 'echo bye >>/words/last']}}}}}}
volumes:
- name: words
  hostPath: {{path: {}}}
- name: memory
  emptyDir: {{medium: Memory}}
",
        words.display()
    );
    node.apply("app.yaml", daemon_set("app", &spec));
    node.agent.wait_ready("app");
    let config = node.path("config.yaml").display().to_string();
    let reset = |more: &[&str]| node.agent.cli(&[&["reset", "--config", &config], more].concat());
    let refused = reset(&["--end-pods", "--yes"]);
    assert!(refused.err.contains("another daemonlet"), "{refused:?}");

    // A pod that is no longer in the store, while no agent runs, ends as well.
    node.agent.stop();
    node.delete("app.yaml");
    let reset = |more: &[&str]| node.agent.cli(&[&["reset", "--config", &config], more].concat());
    let asked = reset(&["--end-pods"]);
    assert!(asked.code == Some(1) && asked.out.contains("would be ended (pass --yes)"), "{asked:?}");
    assert!(reset(&["--yes"]).err.contains("still holds 1 pods"), "without being told to, it ends none");
    let done = reset(&["--end-pods", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.starts_with("ending 1 pods\n"), "{}", done.out);
    assert_eq!(fs::read_to_string(words.join("last")).unwrap(), "bye\n");
    assert!(node.sandboxes().is_empty() && node.containers().is_empty());
    let mut left: Vec<_> =
        fs::read_dir(node.path("state")).unwrap().flatten().map(|it| it.file_name()).collect();
    left.sort();
    // Archives of images are the operator's.
    assert_eq!(left, ["images", "lock", "pods"]);
    assert_eq!(fs::read_dir(node.path("state/pods")).unwrap().count(), 0);
}
