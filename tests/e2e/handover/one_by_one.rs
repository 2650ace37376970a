//! The kubelet is to start one DaemonSet's pod before the next is ended; and whatever happens to the agent meanwhile, none is lost or doubled.

use std::fs;
use std::path::Path;

use daemonlet::cri::proto::ContainerState;
use daemonlet::kubelet::standing_back::{Pace, Stage, SteppedBack};
use k8s_openapi::jiff::Timestamp;

use super::static_pods::{Found, StaticPods};
use super::{CALM, Kubelet, kill_as_a_kubelet_does, ready_sandboxes, verb, wait_for_standby};
use crate::kit::{Chance, Node, container_ids, daemon_set, wait_until};

/// More than any machine of the tests has.
const TOO_LARGE: &str = "  resources: {requests: {cpu: \"4000\"}}\n";

fn of_priority(name: &str, class: &str) -> String {
    daemon_set(name, &format!("priorityClassName: {class}\n{}", CALM.trim()))
}

fn names(found: &[Found]) -> Vec<&str> {
    found.iter().map(|found| found.name.as_str()).collect()
}

/// The note of an agent that has just begun to hand over.
fn begin(node: &Node, folder: &Path) {
    let mut known = SteppedBack::new(
        Stage::HandingOver,
        Timestamp::UNIX_EPOCH,
        "a kubelet was here".into(),
        folder.into(),
    );
    known.pace = Pace::AfterEachStart;
    known.write(&node.path("state")).unwrap();
}

fn status_says(node: &Node, words: &str) {
    wait_until(words, || node.agent.cli(&["status"]).out.contains(words));
}

#[test]
fn no_pod_that_runs_is_ended_before_the_kubelet_has_started_the_one_before() {
    let Some(mut node) = Node::prepared("") else { return };
    let folder = node.path("static");
    let deadline = "staticPodStartDeadline: 2s";
    node.agent.configure(&format!("onKubelet: handover\nstaticPodPath: {}\n{deadline}\n", folder.display()));
    node.agent.launch();
    node.apply("light.yaml", daemon_set("light", CALM));
    node.apply("large.yaml", daemon_set("large", &(CALM.trim().to_owned() + "\n" + TOO_LARGE)));
    node.apply("heavy.yaml", of_priority("heavy", "system-cluster-critical"));
    node.apply("vital.yaml", of_priority("vital", "system-node-critical"));
    let light = node.agent.wait_ready("light");
    let heavy = node.agent.wait_ready("heavy");
    let vital = node.agent.wait_ready("vital");
    node.agent.wait_pod("large", "it has no room", |pod| pod.spec.as_ref().unwrap().node_name.is_none());
    let (code, shown, complaint) = verb(&node, &["handover", "--dry-run"]);
    assert_eq!(code, Some(0), "{complaint}");
    assert!(shown.contains("# daemonlet_test_large.yaml\n# note: it has no pod here yet"), "{shown}");

    let kubelet = Kubelet::start(&node);
    let static_pods = StaticPods::watch(&node, &folder);
    kill_as_a_kubelet_does(&node, &light);
    status_says(&node, "the kubelet has not started DaemonSet test/light");
    assert_eq!(names(&static_pods.found()), ["light"]);
    let runs = |name: &str, before| {
        let pod = node.agent.wait_pod(name, "its pod is shown", |_| true);
        container_ids(&pod) == container_ids(before)
    };
    assert!(runs("heavy", &heavy) && runs("vital", &vital), "they are left running");
    let said = node.agent.says(&["describe", "ds", "-n", "test", "light"]);
    let file = folder.join("daemonlet_test_light.yaml").display().to_string();
    assert!(said.contains(&format!("static pod {file}; the kubelet has not started it yet")), "{said}");
    let said = node.agent.says(&["describe", "node"]);
    assert!(said.contains("HandOverStuck") && said.contains("StandingBy"), "{said}");
    assert!(verb(&node, &["takeover"]).2.contains("stop it"), "not beside a kubelet");

    // The next agent waits as well, and goes on by itself.
    node.agent.kill9();
    node.agent.launch();
    status_says(&node, &format!("test/light: {file}, written "));
    assert_eq!(names(&static_pods.found()), ["light"]);
    static_pods.allow();
    wait_for_standby(
        &node,
        &format!("4 DaemonSets are static pods in {} now, 0 could not", folder.display()),
    );
    let found = static_pods.found();
    assert_eq!(names(&found), ["light", "heavy", "vital", "large"]);
    let node_name = node.slot().node_name();
    for (index, later) in found.iter().enumerate() {
        for earlier in &found[..index.min(3)] {
            let theirs = format!("{}-{node_name}", earlier.name);
            assert!(later.beside.contains(&theirs), "{} came before {theirs} was started", later.name);
        }
        let own = |pod: &&String| pod.starts_with(&format!("{}-", later.name));
        assert_eq!(later.beside.iter().find(own), None, "old before new");
    }

    // What the kubelet runs is shown, and is nobody else's.
    let theirs = format!("light-{node_name}");
    wait_until("the kubelet's pod is shown", || {
        let pods = node.agent.says(&["get", "pods", "-A"]);
        let mut lines = pods.lines().filter(|line| line.contains(&theirs));
        lines.any(|line| line.contains("1/1") && line.contains("Running"))
    });
    let said = node.agent.says(&["describe", "ds", "-n", "test", "light"]);
    assert!(said.contains("the kubelet has started it by") && said.contains("1 Running"), "{said}");
    for reason in ["HandedOver", "StartedByKubelet"] {
        node.agent.wait_event("light", reason, |_| true);
    }
    let status = node.agent.says(&["status"]);
    assert!(status.contains(&format!("test/light: {file}, written ")), "{status}");
    assert!(status.contains(", started by the kubelet 2"), "{status}");

    drop(kubelet);
    drop(static_pods);
    let (code, said, complaint) = verb(&node, &["takeover"]);
    assert_eq!(code, Some(0), "{complaint}");
    assert!(said.contains(&format!("pod test/{theirs} of the kubelet ended")), "{said}");
    for name in ["light", "heavy", "vital"] {
        node.agent.wait_ready(name);
    }
    node.agent
        .wait_pod("large", "it has no room again", |pod| pod.spec.as_ref().unwrap().node_name.is_none());
    assert_eq!((fs::read_dir(&folder).unwrap().count(), ready_sandboxes(&node).len()), (0, 3));
}

#[test]
fn a_pod_that_the_kubelet_has_killed_is_handed_over_without_waiting_for_another() {
    let Some(mut node) = Node::start() else { return };
    for name in ["one", "other"] {
        node.apply(&format!("{name}.yaml"), daemon_set(name, CALM));
    }
    let one = node.agent.wait_ready("one");
    node.agent.wait_ready("other");
    node.agent.kill9();
    let folder = node.path("static");
    let static_pods = StaticPods::watch(&node, &folder);
    begin(&node, &folder);
    node.agent.launch();
    // Of two that are equally important the one whose name comes last goes first, as it came last.
    status_says(&node, "it is to start test/other");
    wait_until("the other's file is found", || names(&static_pods.found()) == ["other"]);
    node.kill(&one, "main");
    status_says(&node, "it is to start test/other, test/one");
    assert_eq!(ready_sandboxes(&node), [""; 0], "the kubelet has its time");
    static_pods.allow();
    wait_for_standby(&node, "2 DaemonSets are static pods");
}

#[test]
fn no_pod_is_lost_or_doubled_however_often_the_agent_is_killed_meanwhile() {
    let Some(mut node) = Node::start() else { return };
    let slow = CALM.replace("exit 0", "sleep 0.5; exit 0").replace("Seconds: 1", "Seconds: 5");
    let daemon_sets = ["first", "second", "third", "fourth"];
    for name in daemon_sets {
        node.apply(&format!("{name}.yaml"), daemon_set(name, &slow));
    }
    for name in daemon_sets {
        node.agent.wait_ready(name);
    }
    node.agent.kill9();
    let folder = node.path("static");
    let static_pods = StaticPods::watch(&node, &folder);
    static_pods.allow();
    begin(&node, &folder);
    let seed = Chance::fresh_seed();
    eprintln!("seed {seed}");
    let mut chance = Chance::new(seed);
    let state = node.path("state");
    let read = || SteppedBack::read(&state).unwrap().unwrap();
    let mut kills = 0;
    while read().stage == Stage::HandingOver && kills < 12 {
        node.agent.launch();
        // At any instant: what it is at by then is left to chance.
        std::thread::sleep(std::time::Duration::from_millis(50 + chance.below(700)));
        node.agent.kill9();
        kills += 1;
    }
    node.agent.launch();
    wait_for_standby(&node, "4 DaemonSets are static pods");
    let found = static_pods.found();
    for found in &found {
        let own = found.beside.iter().filter(|pod| pod.starts_with(&format!("{}-", found.name)));
        assert_eq!(own.count(), 0, "{found:?}: one of two");
    }
    let mut given = names(&found);
    given.sort_unstable();
    assert_eq!(given, ["first", "fourth", "second", "third"], "each once, and never changed");
    assert_eq!(ready_sandboxes(&node).len(), 4);
    let running = ContainerState::ContainerRunning as i32;
    assert_eq!(node.containers().iter().filter(|it| it.state == running).count(), 4);
}

#[test]
fn by_command_all_goes_at_once_without_a_kubelet_and_waits_for_one_that_is_there() {
    let Some(mut node) = Node::prepared("") else { return };
    let folder = node.path("static");
    let deadline = "staticPodStartDeadline: 1s";
    node.agent.configure(&format!("onKubelet: handover\nstaticPodPath: {}\n{deadline}\n", folder.display()));
    node.agent.launch();
    node.apply("light.yaml", daemon_set("light", CALM));
    node.apply("vital.yaml", of_priority("vital", "system-node-critical"));
    node.agent.wait_ready("light");
    node.agent.wait_ready("vital");
    node.agent.kill9();
    let kubelet = Kubelet::start(&node);
    let (code, _, said) = verb(&node, &["handover"]);
    assert!(code == Some(1) && said.contains("the kubelet has not started DaemonSet test/light"), "{said}");
    assert_eq!(ready_sandboxes(&node).len(), 1, "vital is left running");
    drop(kubelet);
    let (code, said, complaint) = verb(&node, &["handover"]);
    assert_eq!(code, Some(0), "{complaint}");
    let file = |name: &str| folder.join(format!("daemonlet_test_{name}.yaml")).display().to_string();
    for name in ["light", "vital"] {
        assert!(said.contains(&format!("daemonset/test/{name} handed over as {}", file(name))), "{said}");
    }
    assert_eq!(ready_sandboxes(&node), [""; 0]);
    // Half of a hand-over can be taken back, too: a file that was written just before the agent was killed counts.
    let mut known = SteppedBack::read(&node.path("state")).unwrap().unwrap();
    let written = known.written.pop().unwrap();
    let text = fs::read_to_string(&written.path).unwrap();
    known.stage = Stage::HandingOver;
    known.pending = Some(daemonlet::kubelet::standing_back::Pending {
        daemon_set: written.daemon_set,
        path: written.path,
        text,
        start: written.start,
    });
    known.write(&node.path("state")).unwrap();
    let (code, said, complaint) = verb(&node, &["takeover"]);
    assert_eq!(code, Some(0), "{complaint}");
    assert!(said.contains("light.yaml removed") && said.contains("vital.yaml removed"), "{said}");
    node.agent.launch();
    node.agent.wait_ready("light");
    node.agent.wait_ready("vital");
}

#[test]
fn a_folder_that_cannot_be_written_costs_no_pod_and_is_tried_again() {
    let Some(mut node) = Node::start() else { return };
    node.apply("agent.yaml", daemon_set("agent", CALM));
    let before = node.agent.wait_ready("agent");
    node.agent.kill9();
    let folder = node.path("static");
    fs::write(&folder, "no directory").unwrap();
    begin(&node, &folder);
    node.agent.launch();
    status_says(&node, "hand-over can't go on: make the directory");
    assert_eq!(ready_sandboxes(&node).len(), 1, "nothing was ended");
    let shown = node.agent.wait_pod("agent", "it is shown", |_| true);
    assert_eq!(container_ids(&shown), container_ids(&before));
    let (code, _, complaint) = verb(&node, &["handover"]);
    assert!(code != Some(0) && complaint.contains("make the directory"), "{complaint}");

    fs::remove_file(&folder).unwrap();
    wait_until("the file is written", || folder.join("daemonlet_test_agent.yaml").exists());
    assert_eq!(ready_sandboxes(&node), [""; 0]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing half is left");
}
