//! What holds for every node and every DaemonSet.

use k8s_openapi::api::core::v1::{Taint, Toleration};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{daemon_set, node};
use crate::placement::{Outcome, Verdict, add_daemon_tolerations, decide, tolerates};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "3", "05", "not-ready"]).prop_map(str::to_owned)
}

fn labels() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), word(), 0..4)
        .prop_map(|map| json!(map))
}

fn taint() -> impl Strategy<Value = Value> {
    (
        prop::sample::select(vec!["k", "l", "node.kubernetes.io/not-ready"]),
        word(),
        prop::sample::select(&EFFECTS[..]),
    )
        .prop_map(|(key, value, effect)| json!({"key": key, "value": value, "effect": effect}))
}

fn toleration() -> impl Strategy<Value = Value> {
    let operators = prop::sample::select(vec!["", "Equal", "Exists", "Gt"]);
    let effects = prop::sample::select(vec!["", "NoSchedule", "NoExecute"]);
    (prop::sample::select(vec!["", "k", "l"]), operators, word(), effects).prop_map(
        |(key, operator, value, effect)| json!({"key": key, "operator": operator, "value": value, "effect": effect}),
    )
}

fn term() -> impl Strategy<Value = Value> {
    let operators = prop::sample::select(vec!["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Near"]);
    let entry = (prop::sample::select(vec!["a", "b", "-"]), operators, prop::collection::vec(word(), 0..3))
        .prop_map(|(key, operator, values)| json!({"key": key, "operator": operator, "values": values}));
    prop::collection::vec(entry, 0..3).prop_map(|entries| json!({"matchExpressions": entries}))
}

prop_compose! {
    fn question()(
        labels in labels(),
        taints in prop::collection::vec(taint(), 0..3),
        tolerations in prop::collection::vec(toleration(), 0..3),
        terms in prop::option::of(prop::collection::vec(term(), 0..3)),
        selector in labels(),
        host_network in any::<bool>(),
    ) -> (Value, Value, Value) {
        let required = terms.map(|terms| json!({"nodeSelectorTerms": terms}));
        let pod = json!({
            "containers": [],
            "hostNetwork": host_network,
            "nodeSelector": selector,
            "tolerations": tolerations,
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
        });
        (labels, json!(taints), pod)
    }
}

fn ask(labels: &Value, taints: &Value, pod: &Value) -> Verdict {
    decide(&node(labels.clone(), taints.clone()), &daemon_set(pod.clone()))
}

proptest! {
    #[test]
    fn a_wanted_pod_may_always_stay((labels, taints, pod) in question()) {
        let verdict = ask(&labels, &taints, &pod);
        prop_assert!(!verdict.should_run || verdict.should_continue_running);
        let belongs = verdict.fits_name && verdict.affinity_match;
        prop_assert_eq!(verdict.should_run, belongs && verdict.untolerated_taint.is_none());
        prop_assert!(belongs || verdict.outcome() == Outcome::Gone);
        prop_assert!(!verdict.reasons.is_empty());
        prop_assert!(verdict.reasons.iter().all(|reason| !reason.to_string().is_empty()));
    }

    #[test]
    fn tolerating_everything_leaves_only_the_labels((labels, taints, mut pod) in question()) {
        pod["tolerations"] = json!([{"operator": "Exists"}]);
        let verdict = ask(&labels, &taints, &pod);
        prop_assert_eq!(&verdict.untolerated_taint, &None);
        prop_assert_eq!(verdict.should_run, verdict.affinity_match);
    }

    #[test]
    fn a_further_term_never_costs_a_match((labels, taints, mut pod) in question(), further in term()) {
        let path = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        let before = ask(&labels, &taints, &pod).affinity_match;
        if let Some(terms) = pod.pointer_mut(path).and_then(Value::as_array_mut) {
            terms.push(further);
            prop_assert!(!before || ask(&labels, &taints, &pod).affinity_match);
        }
    }

    #[test]
    fn the_decision_reads_the_tolerations_that_the_pod_will_have((labels, taints, mut pod) in question()) {
        let verdict = ask(&labels, &taints, &pod);
        let mut own: Vec<Toleration> = serde_json::from_value(pod["tolerations"].clone()).unwrap();
        add_daemon_tolerations(&mut own, pod["hostNetwork"].as_bool().unwrap());
        let taints_read: Vec<Taint> = serde_json::from_value(taints.clone()).unwrap();
        let first = taints_read
            .iter()
            .filter(|taint| taint.effect != "PreferNoSchedule")
            .find(|taint| !own.iter().any(|toleration| tolerates(toleration, taint)));
        prop_assert_eq!(first.map(|taint| &taint.key), verdict.untolerated_taint.as_ref().map(|taint| &taint.key));
        pod["tolerations"] = serde_json::to_value(&own).unwrap();
        prop_assert_eq!(ask(&labels, &taints, &pod).outcome(), verdict.outcome());
    }
}
