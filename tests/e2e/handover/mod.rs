//! A kubelet comes to the same runtime, and goes: there is one agent at a time, and no pod is lost on the way.

mod one_by_one;
mod static_pods;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use daemonlet::cri::proto::{ContainerState, PodSandboxConfig, PodSandboxMetadata, PodSandboxState};
use daemonlet::kubelet::standing_back::{Pending, Stage, Start, SteppedBack, Written};
use daemonlet::kubelet::static_pod::HANDED_OVER;
use daemonlet::manifest::DaemonSetKey;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use self::static_pods::StaticPods;
use crate::kit::{Node, container_ids, daemon_set, wait_until};

const CALM: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'trap \"exit 0\" TERM; sleep infinity & wait']
";

/// A process that is called a kubelet, and says that it uses the node's runtime.
struct Kubelet(Child);

impl Kubelet {
    fn start(node: &Node) -> Self {
        let program = node.path("kubelet");
        fs::copy("/bin/bash", &program).unwrap();
        let endpoint = format!("--container-runtime-endpoint=unix://{}", node.containerd.socket().display());
        let mut command = node.slot().command(&program);
        // It lives for as long as nobody writes to it.
        command.args(["-c", "read -r", "kubelet", endpoint.as_str()]).stdin(Stdio::piped());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn verb(node: &Node, words: &[&str]) -> (Option<i32>, String, String) {
    let config = node.path("config.yaml").display().to_string();
    let answer = node.agent.cli(&[words, &["--config", &config]].concat());
    (answer.code, answer.out, answer.err)
}

/// The first thing that a kubelet does: it kills what it doesn't know.
fn kill_as_a_kubelet_does(node: &Node, pod: &Pod) {
    node.kill(pod, "main");
}

fn wait_for_standby(node: &Node, words: &str) {
    let mut said = String::new();
    wait_until("the agent stands by", || {
        said = node.agent.cli(&["status"]).out;
        said.contains(words)
    });
    assert!(said.contains("Ready:") && said.contains("`daemonlet takeover` is the way back"), "{said}");
}

fn ready_sandboxes(node: &Node) -> Vec<String> {
    let ready = PodSandboxState::SandboxReady as i32;
    let sandboxes = node.sandboxes().into_iter().filter(|it| it.state == ready);
    sandboxes.map(|sandbox| sandbox.metadata.unwrap().name).collect()
}

#[test]
fn an_agent_yields_to_a_kubelet_for_as_long_as_nobody_takes_over() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", CALM));
    let pod = node.agent.wait_ready("app");
    let kubelet = Kubelet::start(&node);
    kill_as_a_kubelet_does(&node, &pod);
    wait_for_standby(
        &node,
        &format!("a kubelet (process {}) uses the same container runtime", kubelet.0.id()),
    );
    assert!(node.agent.says(&["get", "events", "-A"]).contains("KubeletFound"));

    // What the kubelet kills now stays dead, and what is new is not started, also by the next agent.
    let before: BTreeSet<String> = node.containers().into_iter().map(|it| it.id).collect();
    let running = ContainerState::ContainerRunning as i32;
    // It may not have been started again by then.
    for container in node.containers().iter().filter(|it| it.state == running) {
        node.containerd.ctr(&["tasks", "kill", "--signal", "9", &container.id]);
    }
    node.apply("new.yaml", daemon_set("new", CALM));
    node.agent.kill9();
    node.agent.launch();
    wait_for_standby(&node, "a kubelet (process");
    let (code, _, said) = verb(&node, &["takeover"]);
    assert!(code == Some(1) && said.contains("stop it, and see that nothing starts it again"), "{said}");
    let after: BTreeSet<String> = node.containers().into_iter().map(|it| it.id).collect();
    assert_eq!(after, before, "nothing was made, and nothing removed");

    drop(kubelet);
    wait_for_standby(&node, "pods are left to it");
    let (code, said, complaint) = verb(&node, &["takeover"]);
    assert_eq!((code, said.as_str()), (Some(0), "daemonlet looks after this node again.\n"), "{complaint}");
    let again = node.agent.wait_ready("app");
    assert_eq!(again.metadata.uid, pod.metadata.uid, "the same pod, with another container");
    assert_ne!(container_ids(&again), container_ids(&pod));
    node.agent.wait_ready("new");
    let (code, said, _) = verb(&node, &["takeover"]);
    assert!(code == Some(0) && said.contains("nothing to take over"), "{said}");
}

#[test]
fn an_agent_that_is_to_refuse_does_not_start_beside_a_kubelet() {
    let Some(mut node) = Node::prepared("onKubelet: refuse\n") else { return };
    node.apply("app.yaml", daemon_set("app", CALM));
    let kubelet = Kubelet::start(&node);
    node.agent.launch();
    assert_eq!(node.agent.wait_for_end().code(), Some(69), "the unit does not start it again then");
    let said = node.agent.log();
    assert!(said.contains(&format!("a kubelet (process {})", kubelet.0.id())), "{said}");
    assert!(said.contains("would kill every pod of daemonlet"), "{said}");
    assert!(node.sandboxes().is_empty());
    drop(kubelet);
    node.agent.launch();
    node.agent.wait_ready("app");
}

#[test]
fn pods_are_handed_over_one_by_one_and_taken_back() {
    let Some(mut node) = Node::prepared("") else { return };
    let folder = node.path("static");
    node.agent.configure(&format!("onKubelet: handover\nstaticPodPath: {}\n", folder.display()));
    node.agent.launch();
    node.apply("web.yaml", daemon_set("web", CALM));
    node.apply(
        "vital.yaml",
        daemon_set("vital", &format!("priorityClassName: system-node-critical\n{}", CALM.trim())),
    );
    let needy = CALM.replace("  command", "  envFrom: [{configMapRef: {name: settings}}]\n  command");
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: test}\n---\n";
    node.apply("needy.yaml", settings.to_owned() + &daemon_set("needy", &needy));
    let web = node.agent.wait_ready("web");
    node.agent.wait_ready("vital");
    let needy = node.agent.wait_ready("needy");

    let refusal = "spec.containers[0].envFrom[0].configMapRef: refers to ConfigMap \"settings\"";
    let (code, planned, refused) = verb(&node, &["handover", "--dry-run"]);
    assert_eq!(code, Some(1), "not all can be");
    assert!(
        refused.contains("daemonset/test/needy cannot be handed over") && refused.contains(refusal),
        "{refused}"
    );
    let order = |text: &str, words: [&str; 2]| {
        let places = words.map(|word| text.find(word).unwrap_or_else(|| panic!("{word} is not in {text}")));
        assert!(places[0] < places[1], "{text}");
    };
    order(&planned, ["# daemonlet_test_web.yaml", "# daemonlet_test_vital.yaml"]);
    assert!(!folder.exists() && ready_sandboxes(&node).len() == 3, "a dry run changes nothing");
    assert!(verb(&node, &["handover"]).2.contains("another daemonlet"), "an agent is there");

    let kubelet = Kubelet::start(&node);
    let static_pods = StaticPods::watch(&node, &folder);
    static_pods.allow();
    kill_as_a_kubelet_does(&node, &web);
    wait_for_standby(
        &node,
        &format!("2 DaemonSets are static pods in {} now, 1 could not", folder.display()),
    );
    order(&node.agent.log(), ["daemonlet_test_web.yaml", "daemonlet_test_vital.yaml"]);
    let theirs = ["web", "vital"].map(|name| format!("{name}-{}", node.slot().node_name()));
    let mut expected = theirs.to_vec();
    expected.push(needy.metadata.name.clone().unwrap());
    expected.sort_unstable();
    let mut ready = ready_sandboxes(&node);
    ready.sort_unstable();
    assert_eq!(ready, expected, "what can't be handed over is left as it is");
    let shown = node.agent.says(&["describe", "ds", "-n", "test", "needy"]);
    assert!(shown.contains("NotHandedOver") && shown.contains("configMapRef"), "{shown}");
    let events = node.agent.says(&["get", "events", "-A"]);
    assert!(events.contains("HandOverRefused") && events.contains("configMapRef"), "{events}");
    let written = fs::read_to_string(folder.join("daemonlet_test_web.yaml")).unwrap();
    assert!(planned.contains(&written), "as the dry run had it: {written}");
    let pod: Pod = serde_json::from_value(parse(&written)).unwrap();
    assert_eq!(pod.metadata.name.as_deref(), Some("web"));

    // What the kubelet makes of it outlives the kubelet, and goes when daemonlet comes back.
    let annotations = pod.metadata.annotations.unwrap();
    assert_eq!(annotations[HANDED_OVER], "test/web");
    drop(kubelet);
    drop(static_pods);
    fs::write(folder.join("daemonlet_test_web.yaml"), written.clone() + "# mine\n").unwrap();
    let (code, _, said) = verb(&node, &["takeover"]);
    assert!(code == Some(1) && said.contains("was changed since daemonlet wrote it"), "{said}");
    fs::write(folder.join("daemonlet_test_web.yaml"), written).unwrap();
    let (code, said, complaint) = verb(&node, &["takeover"]);
    assert_eq!(code, Some(0), "{complaint}");
    assert!(
        said.contains("daemonlet_test_web.yaml removed")
            && said.contains(&format!("test/{} of the kubelet ended", theirs[0])),
        "{said}"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    node.agent.wait_ready("web");
    node.agent.wait_ready("vital");
    assert_eq!(container_ids(&node.agent.wait_ready("needy")), container_ids(&needy), "it was never touched");
    assert!(ready_sandboxes(&node).iter().all(|pod| !theirs.contains(pod)));
    leave_nothing(&node, &folder);
}

#[test]
fn an_agent_that_was_killed_while_handing_over_goes_on_where_it_was() {
    let Some(mut node) = Node::start() else { return };
    for name in ["first", "second", "third"] {
        node.apply(&format!("{name}.yaml"), daemon_set(name, CALM));
    }
    for name in ["first", "second", "third"] {
        node.agent.wait_ready(name);
    }
    node.agent.kill9();
    let folder = node.path("static");
    let (done, under_way) =
        (folder.join("daemonlet_test_first.yaml"), folder.join("daemonlet_test_second.yaml"));
    let key = |name: &str| DaemonSetKey { namespace: "test".into(), name: name.into() };
    let why = "a kubelet was here".to_owned();
    let mut halfway = SteppedBack::new(Stage::HandingOver, Timestamp::UNIX_EPOCH, why, folder.clone());
    halfway.written.push(Written {
        daemon_set: key("first"),
        path: done.clone(),
        sha256: String::new(),
        at: None,
        start: Start::NotAwaited,
    });
    halfway.pending = Some(Pending {
        daemon_set: key("second"),
        path: under_way.clone(),
        text: "as it was meant\n".into(),
        start: Start::NotAwaited,
    });
    halfway.write(&node.path("state")).unwrap();
    // Its pod was ended, and its file is there.
    fs::create_dir_all(&folder).unwrap();
    fs::write(&done, "as it is\n").unwrap();
    let first =
        node.sandboxes().into_iter().find(|it| it.metadata.as_ref().unwrap().name.starts_with("first"));
    let first = first.unwrap();
    let id = first.id.as_str().into();
    node.containerd.ask(async |cri| cri.stop_pod_sandbox(&id).await.unwrap());
    node.containerd.ask(async |cri| cri.remove_pod_sandbox(&id).await.unwrap());
    let uid = &first.metadata.unwrap().uid;
    fs::remove_file(node.path("state/records").join(format!("{uid}.json"))).unwrap();

    node.agent.launch();
    wait_for_standby(
        &node,
        &format!("3 DaemonSets are static pods in {} now, 0 could not", folder.display()),
    );
    assert_eq!(fs::read_to_string(&done).unwrap(), "as it is\n");
    assert_eq!(fs::read_to_string(&under_way).unwrap(), "as it was meant\n");
    assert!(fs::read_to_string(folder.join("daemonlet_test_third.yaml")).unwrap().contains("name: third"));
    assert_eq!(ready_sandboxes(&node), [""; 0]);
    assert_eq!(fs::read_dir(node.path("state/records")).unwrap().count(), 0);
}

#[test]
fn a_pod_that_only_a_kubelet_can_have_made_is_a_sign_of_one_unless_it_was_there_before() {
    let Some(mut node) = Node::prepared("") else { return };
    let from_a_server = || BTreeMap::from([("kubernetes.io/config.source".to_owned(), "api".to_owned())]);
    run_as_a_kubelet_does(&node, "left-behind", from_a_server());
    node.agent.launch();
    node.apply("app.yaml", daemon_set("app", CALM));
    node.agent.wait_ready("app");
    let nobody_s = BTreeMap::from([("note".to_owned(), "made by hand".to_owned())]);
    run_as_a_kubelet_does(&node, "by-hand", nobody_s);
    run_as_a_kubelet_does(&node, "from-the-cluster", from_a_server());
    wait_for_standby(&node, "pod test/from-the-cluster has appeared there and is a kubelet's");
    assert_eq!(ready_sandboxes(&node).len(), 4, "nobody's pod was touched");
}

/// The sandbox that a kubelet makes of a pod; enough to be in the way.
fn run_as_a_kubelet_does(node: &Node, name: &str, annotations: BTreeMap<String, String>) {
    let config = PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.into(),
            uid: format!("uid-of-{name}"),
            namespace: "test".into(),
            attempt: 0,
        }),
        labels: BTreeMap::from([("io.kubernetes.pod.uid".into(), format!("uid-of-{name}"))]),
        annotations,
        ..PodSandboxConfig::default()
    };
    node.containerd.ask(async |cri| cri.run_pod_sandbox(config, "").await.unwrap());
}

fn parse(yaml: &str) -> serde_json::Value {
    serde_saphyr::from_str(yaml).unwrap()
}

fn leave_nothing(node: &Node, folder: &Path) {
    assert!(!node.path("state/stepped-back.json").exists());
    fs::remove_dir_all(folder).unwrap();
}
