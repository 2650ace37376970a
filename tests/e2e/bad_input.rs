//! What is wrong is told once, with what to do about it, and disturbs nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

use crate::kit::{Node, container_ids, daemon_set, is_ready, wait_until};

const SLEEPER: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
";

/// Files that hold no good manifest, and a piece of what is said about each.
fn bad_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let ds = |name: &str| daemon_set(name, SLEEPER);
    let level = |level: usize| {
        let below = format!("*a{}, ", level - 1).repeat(10);
        format!("a{level}: &a{level} [{below}]\n")
    };
    let levels: Vec<String> = (1..12).map(level).collect();
    let bomb = format!("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{}", levels.concat());
    let large = format!("# {}\n", "x".repeat(1023)).repeat(10 * 1024);
    vec![
        ("unparsable.yaml", b"kind: [DaemonSet\n".to_vec(), "unclosed bracket"),
        ("wrong-type.yaml", ds("typed").replace("image: busybox:1", "image: [busybox]").into(), "string"),
        ("number.yaml", ds("number").replace("app: number", "app: 1").into(), "string"),
        ("bomb.yaml", bomb.into(), "alias"),
        ("large.yaml", large.into(), "MiB"),
        ("binary.yaml", vec![0x7f, b'E', b'L', b'F', 0, 1, 2, 0xff], "binary"),
        ("kind.yaml", ds("kind").replace("kind: DaemonSet", "kind: DaemonSett").into(), "DaemonSett"),
        ("old-api.yaml", ds("old").replace("apps/v1", "extensions/v1beta1").into(), "apps/v1"),
        ("selector.yaml", ds("selector").replacen("app: selector", "app: other", 1).into(), "selector"),
        ("refused.yaml", ds("refused").replace("name: main", "name: Main!").into(), "name"),
    ]
}

#[test]
fn bad_files_are_told_of_and_leave_everything_else_running() {
    let Some(node) = Node::start() else { return };
    node.apply("good.yaml", daemon_set("good", SLEEPER));
    let good = node.agent.wait_ready("good");
    let files = bad_files();
    for (name, bytes, _) in &files {
        node.apply(name, bytes);
    }
    mkfifo(&node.manifest("fifo.yaml"), Mode::S_IRWXU).unwrap();
    let _listener = UnixListener::bind(node.manifest("socket.yaml")).unwrap();
    symlink("loop.yaml", node.manifest("loop.yaml")).unwrap();
    symlink(node.path("manifests"), node.manifest("itself")).unwrap();
    symlink("nowhere.yaml", node.manifest("dangling.yaml")).unwrap();
    for name in ["editor.yaml.backup", "editor.yaml~", ".editor.yaml.swp", "README"] {
        fs::write(node.manifest(name), daemon_set("editor", SLEEPER)).unwrap();
    }
    node.apply("last.yaml", daemon_set("last", SLEEPER));
    node.agent.wait_ready("last");

    let status = node.agent.api.object("/apis/daemonlet.dev/v1/status");
    let told = |name: &str| -> Vec<String> {
        let problems = status["store"]["problems"].as_array().unwrap();
        let about = problems.iter().filter(|problem| ends_with(&problem["file"], name));
        about.map(|problem| problem["message"].as_str().unwrap().to_owned()).collect()
    };
    let unlike = |(name, _, piece): &(&str, Vec<u8>, &str)| {
        let messages = told(name);
        let is_told = messages.iter().any(|message| message.contains(piece));
        (!is_told).then(|| format!("{name}: no {piece:?} in {messages:?}"))
    };
    let unlike: Vec<String> = files.iter().filter_map(unlike).collect();
    assert!(unlike.is_empty(), "{unlike:#?}");
    let ignored = status["store"]["ignored"].as_array().unwrap();
    let reason = |name: &str| {
        let file = ignored.iter().find(|file| ends_with(&file["path"], name));
        file.and_then(|file| file["reason"].as_str()).unwrap_or_default().to_owned()
    };
    for name in ["fifo.yaml", "socket.yaml", "loop.yaml", "dangling.yaml"] {
        assert!(!told(name).is_empty() || !reason(name).is_empty(), "nothing is said about {name}");
    }
    for name in ["editor.yaml.backup", "editor.yaml~", ".editor.yaml.swp", "README"] {
        assert!(!reason(name).is_empty(), "{name} is not listed: {ignored:?}");
    }
    assert_eq!(container_ids(&node.agent.wait_ready("good")), container_ids(&good));
    let listed = node.agent.says(&["get", "ds", "-n", "test", "-o", "name"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
}

#[test]
fn an_edit_that_breaks_a_manifest_leaves_the_last_good_one_running_and_one_that_empties_it_does_not() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SLEEPER));
    let before = node.agent.wait_ready("app");
    for (other, broken) in [("one", "kind: ["), ("two", &daemon_set("app", "containers: []"))] {
        node.apply("app.yaml", broken);
        // Another DaemonSet that becomes ready proves that the broken file has been read.
        node.apply(&format!("{other}.yaml"), daemon_set(other, SLEEPER));
        node.agent.wait_ready(other);
        assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&before));
    }
    // An empty file is a good one that holds nothing: somebody has taken the DaemonSet out.
    node.apply("app.yaml", "");
    node.agent.wait_gone("app");
}

#[test]
fn the_same_object_in_two_files_is_told_of_and_what_runs_stays() {
    let Some(node) = Node::start() else { return };
    node.apply("a.yaml", daemon_set("app", SLEEPER));
    let before = node.agent.wait_ready("app");
    node.apply("b.yaml", daemon_set("app", &SLEEPER.replace("infinity", "1000")));
    let both_told = || {
        let status = node.agent.api.object("/apis/daemonlet.dev/v1/status");
        let problems = status["store"]["problems"].as_array().unwrap().clone();
        ["a.yaml", "b.yaml"]
            .iter()
            .all(|name| problems.iter().any(|problem| ends_with(&problem["file"], name)))
    };
    wait_until("both files have a problem", both_told);
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&before));
    node.delete("b.yaml");
    wait_until("no file has a problem", || !both_told());
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&before));
}

#[test]
fn what_a_pod_lacks_is_told_of_and_the_pod_starts_when_it_comes() {
    let Some(node) = Node::start() else { return };
    let dir = node.path("host");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("path"), "").unwrap();
    let env = "  env: [{name: X, valueFrom: {configMapKeyRef: {name: late, key: x}}}]\n";
    let secret =
        "  volumeMounts: [{name: s, mountPath: /s}]\nvolumes: [{name: s, secret: {secretName: late}}]\n";
    let path = format!(
        "  volumeMounts: [{{name: h, mountPath: /h}}]\nvolumes: [{{name: h, hostPath: {{path: {}/path, type: Directory}}}}]\n",
        dir.display()
    );
    node.apply("env.yaml", daemon_set("env", &format!("{SLEEPER}{env}")));
    node.apply("secret.yaml", daemon_set("secret", &format!("{SLEEPER}{secret}")));
    node.apply("path.yaml", daemon_set("path", &format!("{SLEEPER}{path}")));
    let missing = SLEEPER.replace("busybox:1", "registry.invalid/nothing:1");
    node.apply("image.yaml", daemon_set("image", &missing));
    node.apply("good.yaml", daemon_set("good", SLEEPER));

    node.agent.wait_ready("good");
    let waits_for =
        |reason: &'static str| move |pod: &Pod| waiting(pod).is_some_and(|waiting| waiting == reason);
    node.agent.wait_pod("env", "waits for its ConfigMap", waits_for("CreateContainerConfigError"));
    node.agent.wait_event("secret-", "FailedMount", |message| message.contains("\"late\""));
    node.agent.wait_event("path-", "FailedMount", |message| message.contains("is not a directory"));
    node.agent.wait_pod("image", "waits for its image", |pod| {
        waiting(pod).is_some_and(|reason| ["ErrImagePull", "ImagePullBackOff"].contains(&reason.as_str()))
    });
    node.agent.wait_event("image-", "Failed", |message| message.contains("registry.invalid/nothing:1"));

    let late = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late, namespace: test}\ndata: {x: here}\n---\n\
                apiVersion: v1\nkind: Secret\nmetadata: {name: late, namespace: test}\nstringData: {x: here}\n";
    node.apply("late.yaml", late);
    fs::remove_file(dir.join("path")).unwrap();
    fs::create_dir(dir.join("path")).unwrap();
    let env = node.agent.wait_ready("env");
    assert_eq!(node.exec(&env, "main", &["sh", "-c", "echo $X"]), "here");
    let secret = node.agent.wait_ready("secret");
    assert_eq!(node.exec(&secret, "main", &["cat", "/s/x"]), "here");
    node.agent.wait_ready("path");
}

#[test]
fn a_configuration_with_unknown_keys_ends_the_agent_with_all_of_them_named() {
    let Some(mut node) = Node::prepared("maxPod: 3\nstore:\n  pth: /x\nnodeIPs: [nonsense]\n") else {
        return;
    };
    node.agent.launch();
    assert_eq!(node.agent.wait_for_end().code(), Some(78));
    let log = node.agent.log();
    for piece in ["maxPod: there is no such key, did you mean maxPods?", "store.pth", "nodeIPs"] {
        assert!(log.contains(piece), "{piece}: {log}");
    }
    let config = node.path("config.yaml").display().to_string();
    assert_eq!(node.agent.cli(&["check-config", "--config", &config]).code, Some(78));
}

#[test]
fn a_second_agent_on_the_same_state_directory_ends_and_names_the_first() {
    let Some(node) = Node::start() else { return };
    let config = node.path("config.yaml").display().to_string();
    let second = node.agent.cli(&["agent", "--config", &config]);
    assert_eq!(second.code, Some(75), "{second:?}");
    let said = format!("{}{}", second.out, second.err);
    assert!(said.contains(&node.agent.pid().to_string()) && said.contains("rootDir"), "{said}");
    node.apply("app.yaml", daemon_set("app", SLEEPER));
    node.agent.wait_ready("app");
}

#[test]
fn a_runtime_that_is_absent_or_talks_nonsense_is_told_of_and_waited_for() {
    let Some(mut node) = Node::prepared("") else { return };
    node.apply("app.yaml", daemon_set("app", SLEEPER));
    node.containerd.kill9();
    fs::remove_file(node.containerd.socket()).unwrap();
    node.agent.launch();
    let problem = |node: &Node| {
        let (_, body) = node.agent.api.get("/apis/daemonlet.dev/v1/status").ok()?;
        let status: Value = serde_json::from_str(&body).ok()?;
        status["runtime"]["problem"].as_str().map(str::to_owned)
    };
    wait_until("the absent runtime is told of", || {
        problem(&node).is_some_and(|problem| problem.contains("containerd.sock"))
    });
    assert_eq!(node.agent.api.get("/readyz").unwrap().0, 503);

    // Somebody who answers, but no gRPC.
    let socket = node.containerd.socket();
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let absent = problem(&node);
    wait_until("the nonsense is told of", || problem(&node).is_some_and(|said| Some(said) != absent));
    fs::remove_file(&socket).unwrap();
    node.containerd.restart();
    node.agent.wait_ready("app");
}

#[test]
fn a_full_disk_below_the_state_directory_stops_nothing_that_runs() {
    let Some(mut node) = Node::prepared("") else { return };
    let state = node.path("state");
    fs::create_dir(&state).unwrap();
    mount(Some("tmpfs"), &state, Some("tmpfs"), MsFlags::empty(), Some("size=4m")).unwrap();
    node.apply("app.yaml", daemon_set("app", SLEEPER));
    node.agent.launch();
    let before = node.agent.wait_ready("app");
    fill(&state.join("filler"));
    node.apply("second.yaml", daemon_set("second", SLEEPER));
    node.agent.wait_daemon_set("second", "wanted", |object| object["status"]["desiredNumberScheduled"] == 1);
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&before));
    node.agent.kill9();
    node.agent.launch();
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&before));
    node.kill(&before, "main");
    node.agent
        .wait_pod("app", "restarted", |pod| is_ready(pod) && container_ids(pod) != container_ids(&before));
    fs::remove_file(state.join("filler")).unwrap();
    node.agent.wait_ready("second");
}

fn fill(file: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(file).unwrap();
    while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
}

fn waiting(pod: &Pod) -> Option<String> {
    let statuses = pod.status.clone()?.container_statuses?;
    statuses.first()?.state.clone()?.waiting?.reason
}

fn ends_with(path: &Value, name: &str) -> bool {
    path.as_str().is_some_and(|path| path.rsplit('/').next() == Some(name))
}
