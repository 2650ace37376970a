//! What operators see and type: `get`, `describe`, `explain`, `logs`, and the API beneath.

use serde_json::Value;

use crate::kit::{Node, daemon_set, wait_until};

const CHATTY: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'trap \"exit 0\" TERM; echo one; echo two >&2; echo three; sleep infinity & wait']
- name: side
  image: busybox:1
  command: [sleep, infinity]
";

#[test]
fn get_shows_what_kubectl_would() {
    let Some(node) = Node::start() else { return };
    let away = daemon_set("away", &format!("nodeSelector: {{gpu: \"yes\"}}\n{}", CHATTY.trim_start()));
    node.apply("app.yaml", format!("{}\n---\n{away}", daemon_set("app", CHATTY)));
    let pod = node.agent.wait_ready("app");
    node.agent.wait_daemon_set("app", "available", |object| object["status"]["numberAvailable"] == 1);
    let name = pod.metadata.name.unwrap();

    let table = node.agent.says(&["get", "ds", "-A"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let head = "NAMESPACE NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE";
    assert_eq!(rows[0].join(" "), head);
    assert_eq!(rows[1][..8].join(" "), "test app 1 1 1 1 1 <none>");
    assert_eq!(rows[2][..8].join(" "), "test away 0 0 0 0 0 gpu=yes");

    let wide = node.agent.says(&["get", "pods", "-n", "test", "-o", "wide"]);
    assert!(
        wide.contains(&name) && wide.contains("2/2") && wide.contains(&node.slot().node_name()),
        "{wide}"
    );
    let names = node.agent.says(&["get", "pods", "-n", "test", "-l", "app=app", "-o", "name"]);
    assert_eq!(names.trim(), format!("pod/{name}"));
    let json = node.agent.says(&["get", "pod", &name, "-n", "test", "-o", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["kind"], &json["apiVersion"]), (&"Pod".into(), &"v1".into()));
    assert_eq!(json["status"]["phase"], "Running");
    let yaml = node.agent.says(&["get", "node", "-o", "yaml"]);
    assert!(yaml.contains("kind: Node") && yaml.contains("kubernetes.io/hostname"), "{yaml}");
    let missing = node.agent.cli(&["get", "pod", "nobody", "-n", "test"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("pods \"nobody\" not found"), "{}", missing.err);
}

#[test]
fn describe_and_explain_tell_why() {
    let Some(node) = Node::start() else { return };
    node.describe("{}", "[{key: dedicated, value: db, effect: NoSchedule}]");
    wait_until("the taint is there", || {
        node.agent.says(&["get", "node", "-o", "yaml"]).contains("dedicated")
    });
    let tolerant = format!("tolerations: [{{operator: Exists}}]\n{}", CHATTY.trim_start());
    node.apply("app.yaml", daemon_set("app", &tolerant));
    node.apply("away.yaml", daemon_set("away", CHATTY));
    let pod = node.agent.wait_ready("app").metadata.name.unwrap();

    let described = node.agent.says(&["describe", "pod", &pod, "-n", "test"]);
    for piece in ["Controlled By:", "DaemonSet/app", "busybox:1", "Events:", "Started"] {
        assert!(described.contains(piece), "{piece}: {described}");
    }
    let described = node.agent.says(&["describe", "ds", "app", "-n", "test"]);
    assert!(described.contains("SuccessfulCreate"), "{described}");
    let explained = node.agent.says(&["explain", "ds/away", "-n", "test"]);
    assert!(explained.contains("dedicated=db:NoSchedule"), "{explained}");
    let explained = node.agent.says(&["explain", "ds/app", "-n", "test", "-o", "json"]);
    let explained: Value = serde_json::from_str(&explained).unwrap();
    assert_eq!(explained["shouldRun"], true, "{explained}");
}

#[test]
fn logs_are_shown_from_files_at_the_kubelets_paths() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", CHATTY));
    let pod = node.agent.wait_ready("app");
    let (name, uid) = (pod.metadata.name.clone().unwrap(), pod.metadata.uid.clone().unwrap());
    let logs = |words: &[&str]| {
        let all = [&["logs", name.as_str(), "-n", "test", "-c", "main"], words].concat();
        node.agent.says(&all)
    };
    wait_until("all is logged", || logs(&[]).lines().count() == 3);
    let mut said: Vec<String> = logs(&[]).lines().map(str::to_owned).collect();
    said.sort();
    assert_eq!(said, ["one", "three", "two"]);
    assert_eq!(logs(&["--tail=1"]).lines().count(), 1);

    let file = node.path(&format!("pod-logs/test_{name}_{uid}/main/0.log"));
    assert!(std::fs::read_to_string(&file).unwrap().contains("stderr F two"));
    let entries = std::fs::read_dir(node.path("container-logs")).unwrap().flatten();
    let names: Vec<String> = entries.map(|link| link.file_name().to_string_lossy().into_owned()).collect();
    let prefix = format!("{name}_test_main-");
    assert!(names.iter().any(|link| link.starts_with(&prefix)), "{names:?}");

    node.kill(&pod, "main");
    node.agent.wait_pod("app", "restarted", |pod| {
        let statuses = pod.status.clone().unwrap_or_default().container_statuses.unwrap_or_default();
        statuses.iter().any(|status| status.name == "main" && status.restart_count == 1)
    });
    assert_eq!(logs(&["--previous"]).lines().count(), 3);
    let all = node.agent.cli(&["logs", &name, "-n", "test", "-c", "nobody"]);
    assert_eq!(all.code, Some(1));
    assert!(all.err.contains("nobody"), "{}", all.err);
}

#[test]
fn the_socket_is_for_root_alone_and_says_how_the_agent_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(node) = Node::start() else { return };
    let mode = std::fs::metadata(node.agent.api.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(node.agent.api.get("/healthz").unwrap(), (200, "ok".to_owned()));
    assert_eq!(node.agent.api.get("/readyz").unwrap().0, 200);
    let (status, metrics) = node.agent.api.get("/metrics").unwrap();
    assert_eq!(status, 200);
    assert!(metrics.contains("# TYPE daemonlet_"), "{metrics}");
    assert_eq!(node.agent.api.get("/apis/apps/v1/nonsense").unwrap().0, 404);
    let version: Value = serde_json::from_str(&node.agent.says(&["version", "-o", "json"])).unwrap();
    assert!(version.to_string().contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[test]
fn a_command_without_an_agent_says_how_to_start_one() {
    let Some(mut node) = Node::start() else { return };
    node.agent.stop();
    let answer = node.agent.cli(&["get", "pods"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.err.contains("api.sock"), "{}", answer.err);
}
