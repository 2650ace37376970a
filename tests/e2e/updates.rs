//! Changes to a running node: edits, deletions, labels and taints.

use crate::kit::{Node, container_ids, daemon_set, is_ready, is_so_in_time, wait_until};

fn sleeper(name: &str, greeting: &str) -> String {
    let spec = format!(
        "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'trap \"exit 0\" TERM; sleep infinity & wait']
  env: [{{name: GREETING, value: {greeting}}}]
"
    );
    daemon_set(name, &spec)
}

#[test]
fn an_edit_replaces_the_pod_and_the_old_one_is_gone_first() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", sleeper("app", "old"));
    let old = node.agent.wait_ready("app");
    node.apply("app.yaml", sleeper("app", "new"));
    let new = node
        .agent
        .wait_pod("app", "a new pod, ready", |pod| pod.metadata.uid != old.metadata.uid && is_ready(pod));
    assert_eq!(node.exec(&new, "main", &["sh", "-c", "echo $GREETING"]), "new");
    assert_ne!(old.metadata.name, new.metadata.name);
    let status = node.agent.wait_daemon_set("app", "up to date", |object| {
        object["status"]["updatedNumberScheduled"] == 1 && object["status"]["numberAvailable"] == 1
    });
    assert_eq!(status["status"]["currentNumberScheduled"], 1);
    wait_until("the old sandbox is gone from the runtime", || node.sandboxes().len() == 1);
}

#[test]
fn an_edit_that_changes_nothing_of_the_pod_leaves_it_alone() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", sleeper("app", "same"));
    let before = node.agent.wait_ready("app");
    let labelled =
        sleeper("app", "same").replace("namespace: test", "namespace: test\n  labels: {team: edge}");
    node.apply("app.yaml", format!("# another comment\n{labelled}"));
    node.agent
        .wait_daemon_set("app", "the new label", |object| object["metadata"]["labels"]["team"] == "edge");
    // A second DaemonSet that becomes ready proves that the change has gone all the way.
    node.apply("other.yaml", sleeper("other", "x"));
    node.agent.wait_ready("other");
    let after = node.agent.wait_ready("app");
    assert_eq!(container_ids(&before), container_ids(&after));
}

#[test]
fn a_deleted_manifest_takes_everything_of_its_pod_along() {
    let Some(node) = Node::start() else { return };
    let spec = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
  volumeMounts: [{name: work, mountPath: /data}]
volumes:
- name: work
  emptyDir: {medium: Memory}
";
    node.apply("app.yaml", daemon_set("app", spec));
    node.apply("stays.yaml", sleeper("stays", "x"));
    let stays = node.agent.wait_ready("stays");
    let pod = node.agent.wait_ready("app");
    let uid = pod.metadata.uid.clone().unwrap();
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    wait_until("its sandbox is gone from the runtime", || node.sandboxes().len() == 1);
    let mut places = Vec::new();
    let is_clean = || {
        places = places_of(&node, &uid);
        places.is_empty()
    };
    assert!(is_so_in_time(is_clean), "what is left of the pod: {places:#?}");
    assert_eq!(container_ids(&node.agent.wait_ready("stays")), container_ids(&stays));
    wait_until("it is no longer shown", || {
        node.agent.says(&["get", "ds", "-n", "test", "-o", "name"]).trim() == "daemonset.apps/stays"
    });
}

#[test]
fn a_manifest_that_comes_back_makes_a_new_pod() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", sleeper("app", "x"));
    node.apply("stays.yaml", sleeper("stays", "x"));
    let first = node.agent.wait_ready("app");
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    node.apply("app.yaml", sleeper("app", "x"));
    let second = node.agent.wait_ready("app");
    assert_ne!(first.metadata.uid, second.metadata.uid);
}

#[test]
fn a_label_of_the_node_brings_a_daemon_set_and_takes_it_away() {
    let Some(node) = Node::start() else { return };
    let manifest = sleeper("gpu", "x")
        .replace("      containers:", "      nodeSelector: {gpu: \"yes\"}\n      containers:");
    node.apply("gpu.yaml", manifest);
    node.agent
        .wait_daemon_set("gpu", "not wanted here", |object| object["status"]["desiredNumberScheduled"] == 0);
    node.describe("{gpu: \"yes\"}", "[]");
    node.agent.wait_ready("gpu");
    node.describe("{gpu: \"no\"}", "[]");
    node.agent.wait_gone("gpu");
}

#[test]
fn a_node_and_a_daemon_set_that_come_together_are_decided_together() {
    let Some(node) = Node::start() else { return };
    let name = node.slot().node_name();
    let tainted = format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nspec: {{taints: [{{key: dedicated, value: db, effect: NoSchedule}}]}}\n---\n"
    );
    node.apply("site.yaml", tainted + &sleeper("late", "x"));
    node.agent.wait_daemon_set("late", "not wanted here", |object| {
        object["status"]["desiredNumberScheduled"] == 0 && object["status"]["numberMisscheduled"] == 0
    });
    assert!(node.sandboxes().is_empty(), "no pod was started before the taint was seen");
}

#[test]
fn a_taint_keeps_new_pods_away_and_only_no_execute_ends_old_ones() {
    let Some(node) = Node::start() else { return };
    node.apply("old.yaml", sleeper("old", "x"));
    let old = node.agent.wait_ready("old");
    node.describe("{}", "[{key: dedicated, value: db, effect: NoSchedule}]");
    let untolerated = |object: &serde_json::Value| object["status"]["desiredNumberScheduled"] == 0;
    node.agent.wait_daemon_set("old", "no longer wanted, but allowed to stay", |object| {
        untolerated(object) || object["status"]["numberMisscheduled"] == 1
    });
    node.apply("new.yaml", sleeper("new", "x"));
    node.agent.wait_daemon_set("new", "not wanted here", untolerated);
    let tolerant = sleeper("tolerant", "x").replace(
        "      containers:",
        "      tolerations: [{key: dedicated, operator: Exists}]\n      containers:",
    );
    node.apply("tolerant.yaml", tolerant);
    node.agent.wait_ready("tolerant");
    assert_eq!(container_ids(&node.agent.wait_ready("old")), container_ids(&old));

    node.describe("{}", "[{key: dedicated, value: db, effect: NoExecute}]");
    node.agent.wait_gone("old");
    node.agent.wait_ready("tolerant");
    let explained = node.agent.says(&["explain", "ds/new", "-n", "test"]);
    assert!(explained.contains("dedicated"), "{explained}");
}

/// Where anything on this machine has a pod's UID in its name: cgroups, mounts, volumes and logs.
pub(crate) fn places_of(node: &Node, uid: &str) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found: Vec<String> =
        mounts.lines().filter(|line| line.contains(uid)).map(str::to_owned).collect();
    for directory in [node.path("state/pods"), node.path("pod-logs"), node.path("container-logs")] {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path().display().to_string());
        found.extend(paths.filter(|path| path.contains(uid)));
    }
    found.extend(node.cgroups().into_iter().filter(|path| path.contains(uid)));
    found
}
