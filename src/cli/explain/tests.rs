use serde_json::{Value, json};

use super::*;

const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: edge-1, labels: {disk: hdd}}\n";

fn daemon_set(name: &str, disk: &str) -> String {
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "edge"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "nodeSelector": {"disk": disk},
                    "containers": [{"name": "c", "image": "registry.example/agent:1"}],
                },
            },
        },
    })
    .to_string()
}

struct Bench(tempfile::TempDir);

impl Bench {
    fn new(node: &str, manifest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("node.yaml"), node).unwrap();
        fs::write(folder.path().join("ds.yaml"), manifest).unwrap();
        Self(folder)
    }

    fn explain(&self, output: Output) -> Result<Offline, ExplainError> {
        let at = |file| self.0.path().join(file);
        explain_offline(&[at("ds.yaml")], &at("node.yaml"), output)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.explain(Output::Json).unwrap().text).unwrap()
    }
}

#[test]
fn one_daemon_set_is_one_object() {
    assert_eq!(
        Bench::new(NODE, &daemon_set("agent", "ssd")).json(),
        json!({
            "daemonSet": "edge/agent",
            "node": "edge-1",
            "shouldRun": false,
            "shouldContinueRunning": false,
            "fitsName": true,
            "affinityMatch": false,
            "untoleratedTaint": null,
            "reasons": ["nodeSelector disk=ssd: the node has disk=hdd"],
        })
    );
}

#[test]
fn several_daemon_sets_are_an_array() {
    let both = format!("{}\n---\n{}\n", daemon_set("a", "ssd"), daemon_set("b", "hdd"));
    let answers = Bench::new(NODE, &both).json();
    assert_eq!((&answers[0]["shouldRun"], &answers[1]["shouldRun"]), (&json!(false), &json!(true)));
}

#[test]
fn nothing_of_this_host_is_added_to_the_node() {
    let manifest = daemon_set("agent", "hdd").replace("\"disk\":\"hdd\"", "\"kubernetes.io/os\":\"linux\"");
    let answer = Bench::new(NODE, &manifest).json();
    assert_eq!(
        answer["reasons"],
        json!(["nodeSelector kubernetes.io/os=linux: the node has no label kubernetes.io/os"])
    );
}

#[test]
fn people_read_sentences() {
    let tainted = format!("{NODE}spec: {{taints: [{{key: k, effect: NoSchedule}}]}}\n");
    assert_eq!(
        Bench::new(&tainted, &daemon_set("agent", "hdd")).explain(Output::Text).unwrap().text,
        "DaemonSet edge/agent starts no pod but may keep one on node edge-1:\n  \
         - taint k:NoSchedule is not tolerated: the toleration {key: k, operator: Exists, effect: NoSchedule} would admit it\n  \
         - a pod that is already here stays: a NoSchedule taint only keeps new ones away\n"
    );
}

#[test]
fn a_bad_document_does_not_keep_the_others_from_being_explained() {
    let manifest = format!("{}\n---\nkind: [\n", daemon_set("agent", "hdd"));
    let found = Bench::new(NODE, &manifest).explain(Output::Text).unwrap();
    assert!(found.text.starts_with("DaemonSet edge/agent runs on node edge-1:\n"), "{}", found.text);
    assert!(!found.is_complete());
}

#[test]
fn what_cannot_be_explained_says_why() {
    let rows = [
        (NODE, "kind: [", "no good DaemonSet in the files given\n"),
        ("kind: [", "", "must hold exactly one good Node, and has 0\n"),
        ("", "", "must hold exactly one good Node, and has 0"),
    ];
    for (node, manifest, expected) in rows {
        let error = Bench::new(node, manifest).explain(Output::Text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let input = PathBuf::from("-");
    let error = explain_offline(std::slice::from_ref(&input), &input, Output::Text).unwrap_err();
    assert!(matches!(error, ExplainError::InputTwice));
}

#[test]
fn every_placement_case_is_answered_the_same_from_files() {
    let Some(shared) = std::env::var_os("DAEMONLET_SHARED") else {
        eprintln!("SKIPPED: placement cases: set DAEMONLET_SHARED to the folder that holds cases/placement");
        return;
    };
    let folder = PathBuf::from(shared).join("cases/placement");
    let lines = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let mut wrong = Vec::new();
    for (case, expected) in lines("cases.jsonl").lines().zip(lines("expected.jsonl").lines()) {
        let (case, expected): (Value, Value) =
            (serde_json::from_str(case).unwrap(), serde_json::from_str(expected).unwrap());
        let bench = Bench::new(&case["node"].to_string(), &case["daemonset"].to_string());
        let answer = match bench.explain(Output::Json) {
            Ok(found) => serde_json::from_str(&found.text).unwrap(),
            Err(error) => json!({"error": error.to_string()}),
        };
        let fields = ["shouldRun", "shouldContinueRunning", "fitsName", "affinityMatch", "untoleratedTaint"];
        if fields.iter().any(|field| answer[field] != expected[field]) {
            wrong.push(format!("{}: {answer} instead of {expected}", case["id"]));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_namespace_among_the_files_may_forbid_the_pod() {
    let namespace = |mode: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: edge, labels: {{pod-security.kubernetes.io/{mode}: restricted}}}}\n---\n"
        )
    };
    let enforced = Bench::new(NODE, &(namespace("enforce") + &daemon_set("agent", "hdd")));
    let text = enforced.explain(Output::Text).unwrap().text;
    assert!(text.starts_with("DaemonSet edge/agent is wanted but forbidden on node edge-1:\n"), "{text}");
    assert!(
        text.contains(
            "\n  - forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false"
        ),
        "{text}"
    );
    assert_eq!(enforced.json()["forbidden"].as_array().map(Vec::len), Some(1));
    let warned = Bench::new(NODE, &(namespace("warn") + &daemon_set("agent", "hdd")));
    let text = warned.explain(Output::Text).unwrap().text;
    assert!(text.starts_with("DaemonSet edge/agent runs on node edge-1:\n"), "{text}");
    assert!(text.contains("\n  - warning: would violate PodSecurity \"restricted:latest\""), "{text}");
}
