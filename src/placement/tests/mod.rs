//! Placement against the controller's own answers, the reference's tables, and its invariants.

#![expect(clippy::needless_pass_by_value, reason = "rows read best with json!(…) passed straight in")]

mod cases;
mod invariants;
mod reasons;
mod tables;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

fn node(labels: Value, taints: Value) -> Node {
    let node = json!({"metadata": {"name": "edge-1", "labels": labels}, "spec": {"taints": taints}});
    serde_json::from_value(node).expect("a Node")
}

fn daemon_set(pod: Value) -> DaemonSet {
    let object = json!({
        "metadata": {"name": "agent", "namespace": "edge"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {"metadata": {"labels": {"app": "agent"}}, "spec": pod},
        },
    });
    serde_json::from_value(object).expect("a DaemonSet")
}

/// A pod spec whose required node affinity has these terms.
fn terms(terms: Value) -> Value {
    let required = json!({"nodeSelectorTerms": terms});
    json!({
        "containers": [],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
    })
}

fn selector(pairs: Value) -> Value {
    json!({"containers": [], "nodeSelector": pairs})
}

fn tolerations(entries: Value) -> Value {
    json!({"containers": [], "tolerations": entries})
}
