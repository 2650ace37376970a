//! Revisions: the way forward, the way back, and pods that are deleted by hand.

use crate::kit::{Node, container_ids, daemon_set, is_ready, wait_until};

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

/// Waits until the DaemonSet's only pod says this.
fn wait_saying(node: &Node, greeting: &str) {
    let what = format!("a ready pod that says {greeting}");
    let pod = node.agent.wait_pod("app", &what, |pod| {
        let env = pod.spec.as_ref().and_then(|spec| spec.containers[0].env.as_ref());
        let says = env.is_some_and(|env| env[0].value.as_deref() == Some(greeting));
        says && is_ready(pod)
    });
    assert_eq!(node.exec(&pod, "main", &["sh", "-c", "echo $GREETING"]), greeting);
}

fn rollout(node: &Node, words: &[&str]) -> String {
    node.agent.says(&[&["rollout"], words, &["-n", "test"]].concat())
}

#[test]
fn an_undo_goes_back_and_is_held_until_the_store_brings_another() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", sleeper("app", "one"));
    wait_saying(&node, "one");
    node.apply("app.yaml", sleeper("app", "two"));
    wait_saying(&node, "two");
    assert_eq!(rollout(&node, &["status", "ds/app"]), "daemon set \"app\" successfully rolled out\n");
    let history = rollout(&node, &["history", "ds/app"]);
    assert_eq!(
        history,
        "daemonset.apps/app \nREVISION  CHANGE-CAUSE\n1         <none>\n2         <none>\n\n"
    );
    assert!(rollout(&node, &["history", "ds/app", "--revision=1"]).contains("\n      GREETING:\tone\n"));

    assert_eq!(rollout(&node, &["undo", "ds/app"]), "daemonset.apps/app rolled back\n");
    wait_saying(&node, "one");
    assert!(rollout(&node, &["history", "ds/app"]).contains("\n2         <none>\n3         <none>\n"));
    assert_eq!(
        rollout(&node, &["undo", "ds/app", "--to-revision=3"]),
        "daemonset.apps/app skipped rollback (current template already matches revision 3)\n"
    );

    // Neither a restart of the agent nor a touch of the manifest brings back what was undone.
    let before = container_ids(&node.agent.wait_ready("app"));
    node.agent.restart();
    node.apply("app.yaml", format!("# touched\n{}", sleeper("app", "two")));
    node.apply("other.yaml", sleeper("other", "x"));
    node.agent.wait_ready("other");
    assert_eq!(container_ids(&node.agent.wait_ready("app")), before);

    node.apply("app.yaml", sleeper("app", "three"));
    wait_saying(&node, "three");
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    wait_until("its revisions are gone", || {
        let revisions = std::fs::read_dir(node.path("state").join("revisions")).unwrap();
        revisions.flatten().all(|file| !file.file_name().to_string_lossy().contains("_app_"))
    });
}

#[test]
fn a_restart_and_a_deletion_replace_the_pod_and_nothing_else() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", sleeper("app", "one"));
    let first = node.agent.wait_ready("app");
    assert_eq!(rollout(&node, &["restart", "ds/app"]), "daemonset.apps/app restarted\n");
    let second = node
        .agent
        .wait_pod("app", "another pod, ready", |pod| pod.metadata.uid != first.metadata.uid && is_ready(pod));
    let annotations = second.metadata.annotations.as_ref().unwrap();
    assert!(annotations.contains_key("kubectl.kubernetes.io/restartedAt"));
    let name = second.metadata.name.as_deref().unwrap();
    let said = node.agent.says(&["delete", "pod", name, "-n", "test"]);
    assert_eq!(said, format!("pod {name:?} deleted\n"));
    node.agent.wait_pod("app", "a third pod, ready", |pod| {
        pod.metadata.name != second.metadata.name && is_ready(pod)
    });

    for verb in ["pause", "resume"] {
        let answer = node.agent.cli(&["rollout", verb, "ds/app", "-n", "test"]);
        assert_ne!(answer.code, Some(0));
        assert!(answer.err.contains("is not supported"), "{}", answer.err);
    }
}

#[test]
fn a_hold_keeps_an_update_waiting_until_it_is_released() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", sleeper("app", "one"));
    wait_saying(&node, "one");
    let before = container_ids(&node.agent.wait_ready("app"));
    let said = node.agent.says(&["hold", "ds/app", "-n", "test", "--ttl", "10m", "--reason", "a fair"]);
    assert!(said.starts_with("daemonset.apps/app held until "), "{said}");
    node.apply("app.yaml", sleeper("app", "two"));
    node.agent.wait_event("app", "UpdateHeld", |message| message.contains("a fair"));
    let shown = node.agent.says(&["describe", "ds", "app", "-n", "test"]);
    let words = shown.split_whitespace().collect::<Vec<_>>();
    assert!(words.windows(3).any(|words| words == ["UpdateHeld", "True", "Hold"]), "{shown}");
    assert_eq!(container_ids(&node.agent.wait_ready("app")), before, "the old pod runs on");
    let list = node.agent.says(&["hold", "--list"]);
    assert!(list.contains("test_app") && list.contains("a fair"), "{list}");
    let said = node.agent.says(&["release", "ds/app", "-n", "test"]);
    assert!(said.starts_with("daemonset.apps/app released (it was held by "), "{said}");
    node.agent.wait_daemon_set("app", "nothing out of the ordinary", |object| {
        object["status"]["conditions"].is_null()
    });
    wait_saying(&node, "two");

    // A workload holds by touching a file.
    let file = node.path("holds").join("test_app");
    std::fs::write(&file, "").unwrap();
    node.apply("app.yaml", sleeper("app", "three"));
    node.agent.wait_daemon_set("app", "an update that waits", |object| {
        object["status"]["observedGeneration"] == 3 && object["status"]["updatedNumberScheduled"].is_null()
    });
    assert_eq!(
        node.agent.wait_ready("app").spec.unwrap().containers[0].env.as_ref().unwrap()[0].value.as_deref(),
        Some("two")
    );
    std::fs::remove_file(file).unwrap();
    wait_saying(&node, "three");
}

#[test]
fn a_revision_that_does_not_become_available_is_rolled_back_by_itself() {
    let Some(node) = Node::start() else { return };
    let with_limit = |text: String| {
        text.replace("namespace: test", "namespace: test\n  annotations: {daemonlet.dev/rollback-after: 3s}")
    };
    node.apply("app.yaml", with_limit(sleeper("app", "one")));
    wait_saying(&node, "one");
    let ledger = node.path("state").join("daemonsets/test_app.json");
    wait_until("the first revision has proved itself", || {
        std::fs::read_to_string(&ledger).is_ok_and(|entry| entry.contains("lastAvailable"))
    });
    let broken = with_limit(sleeper("app", "two")).replace("sleep infinity & wait", "exit 1");
    node.apply("app.yaml", &broken);
    node.agent.wait_event("app", "RolledBack", |message| message.contains("within 3s"));
    wait_saying(&node, "one");
    let shown = node.agent.says(&["get", "ds/app", "-n", "test", "-o", "yaml"]);
    assert!(shown.contains("daemonlet.dev/template-source: \"rolled back: "), "{shown}");
    // The same broken template, touched, stays rolled back; a better one is taken.
    node.apply("app.yaml", format!("# touched\n{broken}"));
    node.apply("app.yaml", with_limit(sleeper("app", "three")));
    wait_saying(&node, "three");
}

#[test]
fn an_image_that_cannot_be_had_stops_no_pod_that_works() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", sleeper("app", "one"));
    wait_saying(&node, "one");
    let before = container_ids(&node.agent.wait_ready("app"));
    node.apply("app.yaml", sleeper("app", "two").replace("busybox:1", "localhost/nobody/has:this"));
    node.agent.wait_event("app", "UpdateHeld", |message| message.contains("localhost/nobody/has:this"));
    assert_eq!(container_ids(&node.agent.wait_ready("app")), before);
    node.apply("app.yaml", sleeper("app", "three"));
    wait_saying(&node, "three");
}

#[test]
fn a_pod_of_an_older_hash_is_compared_by_its_fields() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", sleeper("app", "one"));
    let pod = node.agent.wait_ready("app");
    let before = container_ids(&pod);
    let uid = pod.metadata.uid.unwrap();
    // As if another release had made it.
    node.agent.kill9();
    let record = std::fs::read_dir(node.path("state").join("records")).unwrap().flatten();
    let record = record.map(|file| file.path()).find(|path| path.to_string_lossy().contains(&uid)).unwrap();
    let mut text: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    text["hashVersion"] = 999.into();
    text["revision"] = "0123456789".into();
    std::fs::write(&record, text.to_string()).unwrap();
    node.agent.launch();
    node.agent.wait_until_ready();
    node.apply("other.yaml", sleeper("other", "x"));
    node.agent.wait_ready("other");
    assert_eq!(container_ids(&node.agent.wait_ready("app")), before, "the same fields: nothing is restarted");
    node.apply("app.yaml", sleeper("app", "two"));
    wait_saying(&node, "two");
}
