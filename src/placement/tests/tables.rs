//! The reference's tables, row by row.

use k8s_openapi::api::core::v1::{Taint, Toleration};
use serde_json::{Value, json};

use super::{daemon_set, node, selector, terms, tolerations};
use crate::placement::{Outcome, add_daemon_tolerations, decide, tolerates};

fn matches(labels: &Value, pod: Value) -> bool {
    decide(&node(labels.clone(), json!([])), &daemon_set(pod)).affinity_match
}

#[test]
fn each_operator_reads_a_present_and_a_missing_label() {
    let labels = json!({"disk": "ssd", "empty": "", "cpus": "08", "version": "3.5"});
    let rows = [
        ("disk", "In", json!(["hdd", "ssd"]), true),
        ("disk", "In", json!(["SSD"]), false),
        ("empty", "In", json!([""]), true),
        ("absent", "In", json!([""]), false),
        ("disk", "NotIn", json!(["ssd"]), false),
        ("disk", "NotIn", json!(["hdd"]), true),
        ("absent", "NotIn", json!(["hdd"]), true),
        ("empty", "Exists", json!(null), true),
        ("absent", "Exists", json!([]), false),
        ("empty", "DoesNotExist", json!(null), false),
        ("absent", "DoesNotExist", json!([]), true),
        ("cpus", "Gt", json!(["7"]), true),
        ("cpus", "Gt", json!(["8"]), false),
        ("cpus", "Lt", json!(["009"]), true),
        ("cpus", "Lt", json!(["8"]), false),
        ("absent", "Gt", json!(["0"]), false),
        ("absent", "Lt", json!(["9"]), false),
        ("version", "Gt", json!(["3"]), false),
        ("version", "Lt", json!(["4"]), false),
    ];
    for (key, operator, values, expected) in rows {
        let term = json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
        assert_eq!(matches(&labels, terms(term)), expected, "{key} {operator} {values}");
    }
}

#[test]
fn an_unreadable_entry_spoils_its_whole_term_and_no_other() {
    let labels = json!({"disk": "ssd"});
    let holds = json!({"key": "disk", "operator": "In", "values": ["ssd"]});
    let unreadable = [
        json!({"key": "disk", "operator": "in", "values": ["ssd"]}),
        json!({"key": "disk", "operator": "In", "values": []}),
        json!({"key": "disk", "operator": "NotIn", "values": null}),
        json!({"key": "disk", "operator": "Exists", "values": ["ssd"]}),
        json!({"key": "nodisk", "operator": "DoesNotExist", "values": [""]}),
        json!({"key": "nodisk", "operator": "NotIn", "values": ["has space"]}),
        json!({"key": "nodisk", "operator": "NotIn", "values": ["fine", "x".repeat(64)]}),
        json!({"key": "disk", "operator": "Gt", "values": ["-1"]}),
        json!({"key": "disk", "operator": "Gt", "values": ["3.5"]}),
        json!({"key": "disk", "operator": "Lt", "values": ["9223372036854775808"]}),
        json!({"key": "disk", "operator": "Lt", "values": ["1", "2"]}),
        json!({"key": "-disk", "operator": "DoesNotExist"}),
    ];
    for entry in unreadable {
        let alone = json!([{"matchExpressions": [entry]}]);
        assert!(!matches(&labels, terms(alone)), "{entry} alone");
        let beside = json!([{"matchExpressions": [holds, entry]}]);
        assert!(!matches(&labels, terms(beside)), "{entry} beside one that holds");
        let other = json!([{"matchExpressions": [entry]}, {"matchExpressions": [holds]}]);
        assert!(matches(&labels, terms(other)), "{entry} in a term before one that matches");
    }
}

#[test]
fn match_fields_compare_the_nodes_name_and_never_a_label() {
    let labels = json!({"kubernetes.io/hostname": "worker", "metadata.name": "worker"});
    let rows = [
        ("metadata.name", "In", json!(["edge-1"]), true),
        ("metadata.name", "In", json!(["worker"]), false),
        ("metadata.name", "NotIn", json!(["worker"]), true),
        ("metadata.name", "NotIn", json!(["edge-1"]), false),
        ("metadata.name", "In", json!(["edge-1", "edge-2"]), false),
        ("metadata.name", "Exists", json!([]), false),
        ("spec.unschedulable", "NotIn", json!(["true"]), false),
    ];
    for (key, operator, values, expected) in rows {
        let term = json!([{"matchFields": [{"key": key, "operator": operator, "values": values}]}]);
        assert_eq!(matches(&labels, terms(term)), expected, "{key} {operator} {values}");
    }
    let by_label =
        json!([{"matchExpressions": [{"key": "metadata.name", "operator": "In", "values": ["worker"]}]}]);
    assert!(matches(&labels, terms(by_label)));
}

#[test]
fn empty_terms_match_nothing_and_absent_affinity_matches_all() {
    for absent in [json!({}), json!({"nodeAffinity": {}}), json!(null)] {
        assert!(matches(&json!({}), json!({"containers": [], "affinity": absent})));
    }
    let term = json!({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]});
    let rows = [
        (json!([]), false),
        (json!([{}]), false),
        (json!([{"matchExpressions": [], "matchFields": null}]), false),
        (json!([{}, term]), true),
    ];
    for (written, expected) in rows {
        assert_eq!(matches(&json!({}), terms(written.clone())), expected, "{written}");
    }
}

#[test]
fn node_selector_pairs_are_all_needed_byte_for_byte() {
    let labels = json!({"disk": "ssd", "example.com/rack": "a", "empty": ""});
    let rows = [
        (json!({}), true),
        (json!({"disk": "ssd", "empty": ""}), true),
        (json!({"disk": "ssd", "absent": ""}), false),
        (json!({"disk": "SSD"}), false),
        (json!({"rack": "a"}), false),
        (json!({"example.com/rack": "a"}), true),
    ];
    for (pairs, expected) in rows {
        assert_eq!(matches(&labels, selector(pairs.clone())), expected, "{pairs}");
    }
}

#[test]
fn a_toleration_fits_a_taint_by_effect_key_and_value() {
    let taint = |value: Option<&str>, effect: &str| Taint {
        key: "dedicated".to_owned(),
        value: value.map(str::to_owned),
        effect: effect.to_owned(),
        time_added: None,
    };
    let gpu = taint(Some("gpu"), "NoSchedule");
    let bare = taint(None, "NoExecute");
    let rows = [
        (json!({"operator": "Exists"}), true, true),
        (json!({"operator": "Exists", "effect": "NoExecute"}), false, true),
        (json!({"key": "dedicated", "operator": "Exists"}), true, true),
        (json!({"key": "Dedicated", "operator": "Exists"}), false, false),
        (json!({"key": "dedicated", "value": "gpu"}), true, false),
        (json!({"key": "dedicated", "operator": "", "value": "gpu", "effect": ""}), true, false),
        (json!({"key": "dedicated", "operator": "Equal"}), false, true),
        (json!({"key": "dedicated", "operator": "Equal", "value": ""}), false, true),
        (
            json!({"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoExecute"}),
            false,
            false,
        ),
        (json!({"key": "dedicated", "operator": "Gt", "value": "gpu"}), false, false),
        (json!({"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}), false, true),
    ];
    for (written, fits_gpu, fits_bare) in rows {
        let toleration: Toleration = serde_json::from_value(written.clone()).expect("a toleration");
        assert_eq!(tolerates(&toleration, &gpu), fits_gpu, "{written} on dedicated=gpu:NoSchedule");
        assert_eq!(tolerates(&toleration, &bare), fits_bare, "{written} on dedicated:NoExecute");
    }
}

#[test]
fn taints_decide_between_run_stay_and_gone() {
    let unschedulable = "node.kubernetes.io/unschedulable";
    let rows = [
        (json!([{"key": "k", "effect": "PreferNoSchedule"}]), json!([]), Outcome::Run),
        (json!([{"key": "k", "effect": "NoSchedule"}]), json!([]), Outcome::Stay),
        (json!([{"key": "k", "effect": "NoExecute"}]), json!([]), Outcome::Gone),
        (
            json!([{"key": "k", "effect": "NoSchedule"}, {"key": "k", "effect": "NoExecute"}]),
            json!([{"key": "k", "operator": "Exists", "effect": "NoExecute"}]),
            Outcome::Stay,
        ),
        (json!([{"key": unschedulable, "effect": "NoSchedule"}]), json!([]), Outcome::Run),
        (json!([{"key": unschedulable, "effect": "NoExecute"}]), json!([]), Outcome::Gone),
        (json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]), json!([]), Outcome::Run),
        (json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]), json!([]), Outcome::Stay),
    ];
    for (taints, own, expected) in rows {
        let verdict = decide(&node(json!({}), taints.clone()), &daemon_set(tolerations(own)));
        assert_eq!(verdict.outcome(), expected, "{taints}");
    }
}

#[test]
fn only_the_host_network_waits_for_no_network() {
    let taints = json!([{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]);
    for (host_network, expected) in
        [(json!(null), Outcome::Stay), (json!(false), Outcome::Stay), (json!(true), Outcome::Run)]
    {
        let pod = json!({"containers": [], "hostNetwork": host_network});
        assert_eq!(decide(&node(json!({}), taints.clone()), &daemon_set(pod)).outcome(), expected);
    }
}

#[test]
fn node_name_keeps_other_nodes_away() {
    for (name, expected) in [("", true), ("edge-1", true), ("edge-2", false), ("EDGE-1", false)] {
        let verdict =
            decide(&node(json!({}), json!([])), &daemon_set(json!({"containers": [], "nodeName": name})));
        assert_eq!((verdict.fits_name, verdict.should_run), (expected, expected), "{name}");
        assert!(verdict.affinity_match);
    }
}

#[test]
fn automatic_tolerations_replace_equals_in_place_and_follow_the_rest() {
    let mut found: Vec<Toleration> = serde_json::from_value(json!([
        {"key": "own", "operator": "Exists"},
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "value": "", "effect": "NoExecute", "tolerationSeconds": 60},
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 60},
    ]))
    .expect("tolerations");
    add_daemon_tolerations(&mut found, true);
    let shown: Vec<_> = found
        .iter()
        .map(|entry| (entry.key.as_deref().unwrap(), entry.effect.as_deref(), entry.toleration_seconds))
        .collect();
    let expected = [
        ("own", None, None),
        ("node.kubernetes.io/not-ready", Some("NoExecute"), None),
        ("node.kubernetes.io/unreachable", None, Some(60)),
        ("node.kubernetes.io/unreachable", Some("NoExecute"), None),
        ("node.kubernetes.io/disk-pressure", Some("NoSchedule"), None),
        ("node.kubernetes.io/memory-pressure", Some("NoSchedule"), None),
        ("node.kubernetes.io/pid-pressure", Some("NoSchedule"), None),
        ("node.kubernetes.io/unschedulable", Some("NoSchedule"), None),
        ("node.kubernetes.io/network-unavailable", Some("NoSchedule"), None),
    ];
    assert_eq!(shown, expected);
    let once = found.clone();
    add_daemon_tolerations(&mut found, true);
    assert_eq!(found, once);
    assert!(found.iter().all(|entry| entry.operator.as_deref() == Some("Exists")));
}
