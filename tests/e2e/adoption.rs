//! The agent, the runtime or the store goes away and comes back: pods go on as if nothing had happened.

use std::fs;

use k8s_openapi::api::core::v1::Pod;

use crate::kit::{Node, container_ids, daemon_set, is_ready, wait_until};

const SPEC: &str = "
terminationGracePeriodSeconds: 1
initContainers:
- name: init
  image: busybox:1
  command: [sh, -c, 'echo once >> /data/inits']
  volumeMounts: [{name: work, mountPath: /data}]
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
  volumeMounts: [{name: work, mountPath: /data}]
- name: side
  image: busybox:1
  command: [sleep, infinity]
volumes:
- name: work
  emptyDir: {}
";

/// What must be the same before and after.
fn identity(node: &Node, pod: &Pod) -> (String, Vec<(String, String, i32)>) {
    let ids = container_ids(pod).into_iter().filter(|(name, _)| name != "init");
    let containers = ids.map(|(name, id)| (name.clone(), id, node.pid(pod, &name))).collect();
    (pod.metadata.uid.clone().unwrap(), containers)
}

fn restarts(pod: &Pod, container: &str) -> i32 {
    let statuses = pod.status.clone().unwrap_or_default().container_statuses.unwrap_or_default();
    statuses.iter().find(|status| status.name == container).map_or(0, |status| status.restart_count)
}

#[test]
fn an_agent_that_is_killed_finds_its_pods_again_and_goes_on_watching() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    let pod = node.agent.wait_ready("app");
    let before = identity(&node, &pod);
    for _ in 0..3 {
        node.agent.restart();
        let pod = node.agent.wait_ready("app");
        assert_eq!(identity(&node, &pod), before);
    }
    assert_eq!(node.exec(&pod, "main", &["cat", "/data/inits"]), "once");
    node.kill(&pod, "main");
    let pod = node.agent.wait_pod("app", "restarted", |pod| restarts(pod, "main") == 1 && is_ready(pod));
    let after = identity(&node, &pod);
    assert_eq!(after.0, before.0);
    assert_eq!(after.1[1], before.1[1], "the other container was left alone");
    assert_eq!(node.exec(&pod, "main", &["cat", "/data/inits"]), "once");
}

#[test]
fn what_dies_while_the_agent_is_away_is_restarted_when_it_is_back() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    let pod = node.agent.wait_ready("app");
    node.agent.kill9();
    node.kill(&pod, "main");
    node.agent.launch();
    let again = node.agent.wait_pod("app", "restarted", |pod| restarts(pod, "main") == 1 && is_ready(pod));
    assert_eq!(again.metadata.uid, pod.metadata.uid);
    assert_eq!(node.sandboxes().len(), 1);
}

#[test]
fn volumes_of_an_adopted_pod_follow_the_store_also_what_changed_meanwhile() {
    let Some(mut node) = Node::start() else { return };
    let settings = |level: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cm, namespace: test}}\ndata: {{level: {level}}}\n"
        )
    };
    node.apply("cm.yaml", settings("low"));
    let spec = "
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
  volumeMounts: [{name: config, mountPath: /config}]
volumes:
- name: config
  configMap: {name: cm}
";
    node.apply("app.yaml", daemon_set("app", spec));
    let pod = node.agent.wait_ready("app");
    let before = container_ids(&pod);
    node.agent.kill9();
    node.apply("cm.yaml", settings("middle"));
    node.agent.launch();
    node.agent.wait_ready("app");
    let level = || node.exec(&pod, "main", &["cat", "/config/level"]);
    wait_until("the change made while the agent was away", || level() == "middle");
    node.apply("cm.yaml", settings("high"));
    wait_until("the change made afterwards", || level() == "high");
    assert_eq!(container_ids(&node.agent.wait_ready("app")), before);
}

#[test]
fn an_agent_killed_at_any_moment_of_a_start_makes_one_pod_and_not_two() {
    let Some(mut node) = Node::prepared("") else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    // Further each time, until a start goes all the way.
    for milliseconds in (0..600).step_by(60) {
        node.agent.launch();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        node.agent.kill9();
    }
    node.agent.launch();
    let pod = node.agent.wait_ready("app");
    wait_until("one sandbox is left", || {
        let sandboxes = node.sandboxes();
        let uid = |sandbox: &daemonlet::cri::proto::PodSandbox| sandbox.metadata.clone().unwrap().uid;
        sandboxes.iter().all(|sandbox| Some(uid(sandbox)) == pod.metadata.uid)
            && sandboxes.iter().filter(|sandbox| sandbox.state == 0).count() == 1
    });
    let running = node.containers().iter().filter(|container| container.state == 1).count();
    assert_eq!(running, 2);
    // Below the CRI, nothing runs twice either: the sandbox and its two containers.
    let tasks = node.containerd.ctr(&["tasks", "list"]);
    let running = tasks.lines().filter(|line| line.contains("RUNNING")).count();
    assert_eq!(running, 3, "{tasks}{:#?}", node.containers());
}

#[test]
fn a_containerd_that_is_restarted_changes_no_pod_and_is_watched_again() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    let pod = node.agent.wait_ready("app");
    let before = identity(&node, &pod);
    node.containerd.restart();
    node.agent.wait_until_ready();
    let pod = node.agent.wait_ready("app");
    assert_eq!(identity(&node, &pod), before);
    node.kill(&pod, "side");
    let pod = node.agent.wait_pod("app", "restarted", |pod| restarts(pod, "side") == 1 && is_ready(pod));
    assert_eq!(identity(&node, &pod).1[0], before.1[0]);
}

#[test]
fn a_containerd_that_hangs_changes_nothing_and_what_was_edited_meanwhile_happens_afterwards() {
    let Some(node) = Node::configured("runtimeRequestTimeout: 2s\n") else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    let pod = node.agent.wait_ready("app");
    let before = identity(&node, &pod);
    node.containerd.pause();
    node.apply("second.yaml", daemon_set("second", SPEC));
    node.agent.wait_daemon_set("second", "wanted", |object| object["status"]["desiredNumberScheduled"] == 1);
    node.containerd.resume();
    node.agent.wait_ready("second");
    let pod = node.agent.wait_ready("app");
    assert_eq!(identity(&node, &pod), before);
}

#[test]
fn a_store_that_is_gone_removes_nothing_also_over_a_restart() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    let pod = node.agent.wait_ready("app");
    let before = identity(&node, &pod);
    fs::rename(node.path("manifests"), node.path("elsewhere")).unwrap();
    let freshness = |node: &Node| {
        let status = node.agent.api.object("/apis/daemonlet.dev/v1/status");
        status["store"]["freshness"].as_str().unwrap_or_default().to_owned()
    };
    wait_until("the agent says that it goes by the last good copy", || freshness(&node) == "LastGood");
    node.agent.kill9();
    node.agent.launch();
    let pod = node.agent.wait_ready("app");
    assert_eq!(identity(&node, &pod), before);
    wait_until("the agent says so again", || freshness(&node) == "LastGood");
    // It is still looked after.
    node.kill(&pod, "main");
    node.agent.wait_pod("app", "restarted", |pod| restarts(pod, "main") == 1 && is_ready(pod));

    fs::rename(node.path("elsewhere"), node.path("manifests")).unwrap();
    wait_until("the store is current again", || freshness(&node) == "Current");
    node.apply("other.yaml", daemon_set("other", SPEC));
    node.agent.wait_ready("other");
    node.delete("app.yaml");
    node.agent.wait_gone("app");
}

#[test]
fn stopping_the_agent_stops_no_pod() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    let pod = node.agent.wait_ready("app");
    let before = identity(&node, &pod);
    let status = node.agent.stop();
    assert_eq!(status.code(), Some(0));
    assert!(!node.path("api.sock").exists());
    node.agent.launch();
    let pod = node.agent.wait_ready("app");
    assert_eq!(identity(&node, &pod), before);
}
