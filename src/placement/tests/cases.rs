//! The placement cases: the Kubernetes v1.32 controller's answers to 500 questions.

use std::path::PathBuf;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::placement::decide;

#[derive(Deserialize)]
struct Case {
    id: String,
    node: Node,
    daemonset: DaemonSet,
}

#[test]
fn every_case_gets_the_controllers_answer() {
    let Some(shared) = std::env::var_os("DAEMONLET_SHARED") else {
        eprintln!("SKIPPED: placement cases: set DAEMONLET_SHARED to the folder that holds cases/placement");
        return;
    };
    let folder = PathBuf::from(shared).join("cases/placement");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("a readable case file");
    let (cases, expected) = (read("cases.jsonl"), read("expected.jsonl"));
    let mut wrong = Vec::new();
    let mut count = 0;
    for (case, expected) in cases.lines().zip(expected.lines()) {
        let case: Case = serde_json::from_str(case).expect("a case");
        let mut expected: Map<String, Value> = serde_json::from_str(expected).expect("an answer");
        assert_eq!(expected.remove("id"), Some(Value::String(case.id.clone())));
        let verdict = decide(&case.node, &case.daemonset);
        let mut answer = serde_json::to_value(&verdict).expect("a verdict in JSON");
        let reasons = answer.as_object_mut().and_then(|answer| answer.remove("reasons"));
        let has_reasons =
            reasons.as_ref().and_then(Value::as_array).is_some_and(|reasons| !reasons.is_empty());
        if !has_reasons || answer != Value::Object(expected.clone()) {
            wrong.push(format!("{}: {answer} instead of {expected:?}", case.id));
        }
        count += 1;
    }
    assert_eq!((count, cases.lines().count(), expected.lines().count()), (500, 500, 500));
    assert!(wrong.is_empty(), "{} of {count} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}
