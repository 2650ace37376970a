use clap::Parser as _;
use serde_json::{Value, json};

use super::super::{Cli, Verb};
use super::*;

const NODE: &str = "{apiVersion: v1, kind: Node, metadata: {name: edge-1, labels: {disk: hdd}}}";
const SECRET: &str = "hunter2-hunter2";

fn manifest(change: impl FnOnce(&mut Value)) -> String {
    let mut daemon_set = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "edge"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {
                    "imagePullSecrets": [{"name": "s"}],
                    "initContainers": [{"name": "first", "image": "r.example/first:1"}],
                    "containers": [{
                        "name": "main",
                        "image": "r.example/main:1",
                        "args": ["--password=$(PASSWORD)"],
                        "env": [
                            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
                            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                        ],
                        "envFrom": [{"secretRef": {"name": "s"}}],
                        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                    }],
                    "volumes": [{"name": "scratch", "emptyDir": {}}],
                },
            },
        },
    });
    change(&mut daemon_set);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "edge"},
        "stringData": {"password": SECRET},
    });
    format!("{daemon_set}\n---\n{secret}\n")
}

/// The exit code, the output and the errors of a plan for `edge-1`.
fn plan(manifest: &str, more: &[&str]) -> (ExitCode, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config = format!("clusterDNS: [10.96.0.10]\nrootDir: {}\n", folder.path().join("root").display());
    let (node, config) = (at("node.yaml", NODE), at("config.yaml", &config));
    let words = ["daemonlet", "plan", "-f", "-", "--node", &node, "--config", &config];
    let cli = Cli::try_parse_from(words.iter().chain(more)).unwrap();
    let Verb::Plan(args) = cli.verb else { panic!("another verb") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = Output { out: &mut out, err: &mut err };
    let code = run(&args, &mut manifest.as_bytes(), &mut output).unwrap();
    assert!(!folder.path().join("root").exists(), "a plan makes nothing on disk");
    // Each run has a folder of its own.
    let text = |bytes| String::from_utf8(bytes).unwrap().replace(folder.path().to_str().unwrap(), "/folder");
    (code, text(out), text(err))
}

#[test]
fn requests_come_in_the_order_of_the_agent() {
    let (code, text, errors) = plan(&manifest(|_| ()), &["-o", "json"]);
    assert_eq!((code, errors.as_str()), (ExitCode::Ok, ""));
    let document: Value = serde_json::from_str(&text).unwrap();
    let requests = document["requests"].as_array().unwrap();
    let names: Vec<&String> = requests.iter().flat_map(|it| it.as_object().unwrap().keys()).collect();
    assert_eq!(names, ["RunPodSandbox", "PullImage", "CreateContainer", "PullImage", "CreateContainer"]);
    assert_eq!(requests[1]["PullImage"]["image"]["image"], "r.example/first:1");
    let main = &requests[4]["CreateContainer"]["config"];
    assert_eq!(main["image"]["image"], "<image-id>");
    let uid = &requests[0]["RunPodSandbox"]["config"]["metadata"]["uid"].as_str().unwrap();
    let path = main["mounts"][0]["host_path"].as_str().unwrap();
    assert!(path.ends_with(&format!("/pods/{uid}/volumes/kubernetes.io~empty-dir/scratch")), "{path}");
}

#[test]
fn a_secret_is_nowhere_unless_it_is_asked_for() {
    for format in ["json", "yaml"] {
        let (_, masked, errors) = plan(&manifest(|_| ()), &["-o", format]);
        assert!(!masked.contains(SECRET) && !errors.contains(SECRET), "{masked}");
        assert!(masked.contains("--password=<masked>") && masked.contains("<pod-ip>"), "{masked}");
        let (_, shown, _) = plan(&manifest(|_| ()), &["-o", format, "--show-secrets"]);
        assert!(shown.contains(&format!("--password={SECRET}")), "{shown}");
    }
}

#[test]
fn yaml_says_what_json_says() {
    let [json, yaml] = ["json", "yaml"].map(|format| plan(&manifest(|_| ()), &["-o", format]).1);
    let json: Value = serde_json::from_str(&json).unwrap();
    let yaml: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(json, yaml);
}

#[test]
fn a_container_that_lacks_something_does_not_hide_the_others() {
    let text = manifest(|it| {
        it["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
            json!([{"configMapRef": {"name": "none"}}]);
    });
    let (code, text, errors) = plan(&text, &["-o", "json"]);
    assert_eq!(code, ExitCode::Failed);
    assert_eq!(errors, "-:1: spec.template.spec.containers[0]: configmap \"none\" not found\n");
    assert_eq!(text.matches("\"CreateContainer\"").count(), 1, "{text}");
}

#[test]
fn a_pod_that_would_not_run_on_the_node_is_planned_with_a_note() {
    let text = manifest(|it| it["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "ssd"}));
    let (code, text, errors) = plan(&text, &[]);
    assert_eq!(code, ExitCode::Ok);
    assert!(text.contains("shouldRun: false") && text.contains("CreateContainer:"), "{text}");
    let note = "-:1: notice: DaemonSet edge/agent does not run on node edge-1: \
                nodeSelector disk=ssd: the node has disk=hdd\n";
    assert_eq!(errors, note);
}
