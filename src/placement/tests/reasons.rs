//! What operators read.

use serde_json::{Value, json};

use super::{daemon_set, node, selector, terms, tolerations};
use crate::placement::decide;

fn reasons(labels: Value, taints: Value, pod: Value) -> Vec<String> {
    let verdict = decide(&node(labels, taints), &daemon_set(pod));
    verdict.reasons.iter().map(ToString::to_string).collect()
}

#[test]
fn a_pod_that_runs_says_what_let_it() {
    assert_eq!(
        reasons(
            json!({"disk": "ssd", "arch": "arm"}),
            json!([]),
            selector(json!({"disk": "ssd", "arch": "arm"}))
        ),
        ["node labels match nodeSelector {arch=arm, disk=ssd}", "the node has no taint that keeps pods away"]
    );
    assert_eq!(
        reasons(
            json!({}),
            json!([{"key": "k", "effect": "NoSchedule"}]),
            tolerations(json!([{"operator": "Exists"}]))
        ),
        ["no nodeName, nodeSelector or required node affinity: every node matches", "all taints tolerated"]
    );
    let second = json!([{}, {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}]);
    assert_eq!(
        reasons(json!({}), json!([{"key": "k", "effect": "PreferNoSchedule"}]), terms(second)),
        ["required node affinity matches by term 2 of 2", "the node has no taint that keeps pods away"]
    );
}

#[test]
fn every_unmet_pair_is_named_with_what_the_node_has() {
    assert_eq!(
        reasons(json!({"disk": "hdd"}), json!([]), selector(json!({"disk": "ssd", "zone": "a"}))),
        ["nodeSelector disk=ssd: the node has disk=hdd", "nodeSelector zone=a: the node has no label zone"]
    );
}

#[test]
fn affinity_is_told_term_by_term() {
    let written = json!([
        {},
        {"matchExpressions": [
            {"key": "disk", "operator": "In", "values": ["ssd", "nvme"]},
            {"key": "cpus", "operator": "Gt", "values": ["3"]},
        ]},
        {"matchExpressions": [{"key": "disk", "operator": "Gt", "values": ["-1"]}]},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["edge-2"]}]},
    ]);
    assert_eq!(
        reasons(json!({"disk": "hdd", "cpus": "2.5"}), json!([]), terms(written)),
        [
            "required node affinity, term 1 of 4: an empty term matches no node",
            "required node affinity, term 2 of 4: disk In [ssd, nvme]: the node has disk=hdd; \
             cpus Gt [3]: the node has cpus=2.5, which is no integer",
            "required node affinity, term 3 of 4: disk Gt [-1]: cannot be read and so matches no node: \
             a value is no label value",
            "required node affinity, term 4 of 4: metadata.name In [edge-2]: the node's name is edge-1",
        ]
    );
    assert_eq!(
        reasons(json!({}), json!([]), terms(json!([]))),
        ["required node affinity has no nodeSelectorTerms: it matches no node"]
    );
}

#[test]
fn a_taint_names_the_toleration_that_would_admit_the_pod() {
    let taints = json!([
        {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"},
        {"key": "example.com/site", "value": "true", "effect": "NoSchedule"},
        {"key": "bare", "effect": "NoSchedule"},
    ]);
    assert_eq!(
        reasons(json!({}), taints, tolerations(json!([{"key": "dedicated", "value": "cpu"}]))),
        [
            "taint dedicated=gpu:NoSchedule is not tolerated (the template's toleration {key: dedicated, value: cpu} \
             does not fit it): the toleration {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule} would admit it",
            "taint example.com/site=true:NoSchedule is not tolerated: the toleration \
             {key: example.com/site, operator: Equal, value: \"true\", effect: NoSchedule} would admit it",
            "taint bare:NoSchedule is not tolerated: the toleration \
             {key: bare, operator: Exists, effect: NoSchedule} would admit it",
            "a pod that is already here stays: a NoSchedule taint only keeps new ones away",
        ]
    );
}

#[test]
fn all_that_stands_in_the_way_is_told_at_once() {
    let pod = json!({
        "containers": [],
        "nodeName": "edge-2",
        "nodeSelector": {"disk": "ssd"},
    });
    let taints = json!([{"key": "k", "effect": "NoExecute"}]);
    assert_eq!(
        reasons(json!({}), taints, pod),
        [
            "spec.nodeName is edge-2: this node's name is edge-1",
            "nodeSelector disk=ssd: the node has no label disk",
            "taint k:NoExecute is not tolerated: the toleration {key: k, operator: Exists, effect: NoExecute} would admit it",
        ]
    );
}
