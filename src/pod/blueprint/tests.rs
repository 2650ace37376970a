use k8s_openapi::api::node::v1::RuntimeClass;
use serde_json::{Value, json};

use super::*;

fn daemon_set(template: &Value) -> DaemonSet {
    serde_json::from_value(json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "ds", "namespace": "ns", "uid": "ds-uid", "labels": {"own": "1"}},
        "spec": {"selector": {}, "template": template},
    }))
    .unwrap()
}

fn made(template: &Value, classes: Classes<'_>) -> Value {
    let daemon_set = daemon_set(template);
    let pod = Blueprint {
        daemon_set: &daemon_set,
        template: &daemon_set.spec.as_ref().unwrap().template,
        revision_hash: "5d9f",
        template_generation: Some(3),
        name: "ds-x7k2p",
        uid: "pod-uid",
        node_name: "node-1",
        classes,
    }
    .pod();
    serde_json::to_value(pod).unwrap()
}

fn of_spec(spec: &Value) -> Value {
    made(&json!({"spec": spec}), Classes::default())["spec"].clone()
}

#[test]
fn identity_is_the_callers_and_the_rest_the_templates() {
    let template = json!({
        "metadata": {"labels": {"app": "x"}, "annotations": {"note": "y"}, "name": "ignored"},
        "spec": {"containers": []},
    });
    let pod = made(&template, Classes::default());
    assert_eq!(
        pod["metadata"],
        json!({
            "name": "ds-x7k2p",
            "generateName": "ds-",
            "namespace": "ns",
            "uid": "pod-uid",
            "labels": {"app": "x", "controller-revision-hash": "5d9f", "pod-template-generation": "3"},
            "annotations": {"note": "y"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "ds", "uid": "ds-uid",
                "controller": true, "blockOwnerDeletion": true}],
        })
    );
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
}

#[test]
fn the_pod_is_tied_to_the_node_and_keeps_what_it_prefers() {
    let spec = of_spec(&json!({"containers": [], "affinity": {
        "podAffinity": {},
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {}}],
        },
    }}));
    assert_eq!(spec["nodeName"], "node-1");
    assert_eq!(
        spec["affinity"],
        json!({"podAffinity": {}, "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {}}],
        }})
    );
    assert_eq!(spec["tolerations"].as_array().unwrap().len(), 6);
    let on_host = of_spec(&json!({"containers": [], "hostNetwork": true}));
    assert_eq!(on_host["tolerations"].as_array().unwrap().len(), 7);
}

#[test]
fn a_pod_gets_defaults_that_a_template_does_not() {
    let spec = of_spec(&json!({
        "hostNetwork": true,
        "containers": [{"name": "c", "ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "0"}}}],
        "initContainers": [{"name": "i", "ports": [{"containerPort": 82}], "resources": {"limits": {"cpu": "1"}}}],
    }));
    assert_eq!(spec["enableServiceLinks"], true);
    assert_eq!(
        (&spec["serviceAccountName"], &spec["serviceAccount"]),
        (&json!("default"), &json!("default"))
    );
    let ports = |container: &Value| {
        container["ports"].as_array().unwrap().iter().map(|port| port["hostPort"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ports(&spec["containers"][0]), [80, 8081]);
    assert_eq!(ports(&spec["initContainers"][0]), [82]);
    assert_eq!(spec["containers"][0]["resources"]["requests"], json!({"cpu": "0", "memory": "1Gi"}));
    assert_eq!(spec["initContainers"][0]["resources"]["requests"], json!({"cpu": "1"}));
    let own_network = of_spec(&json!({"containers": [{"name": "c", "ports": [{"containerPort": 80}]}],
        "enableServiceLinks": false, "serviceAccountName": "sa"}));
    assert_eq!(own_network["containers"][0]["ports"][0]["hostPort"], Value::Null);
    assert_eq!(
        (&own_network["enableServiceLinks"], &own_network["serviceAccountName"]),
        (&json!(false), &json!("sa"))
    );
}

#[test]
fn priority_is_that_of_the_class_and_the_system_classes_are_known() {
    for (class, resolved, priority) in [
        ("", None, 0),
        ("", Some(5), 5),
        ("mine", Some(7), 7),
        ("system-node-critical", None, 2_000_001_000),
        ("system-cluster-critical", Some(1), 2_000_000_000),
    ] {
        let pod = made(
            &json!({"spec": {"containers": [], "priorityClassName": class}}),
            Classes { priority: resolved, ..Classes::default() },
        );
        assert_eq!(pod["spec"]["priority"], priority, "{class}");
    }
}

#[test]
fn whether_it_displaces_others_is_for_its_class_to_say() {
    let template = json!({"spec": {"containers": []}});
    for (policy, expected) in [(None, "PreemptLowerPriority"), (Some("Never"), "Never")] {
        let pod = made(&template, Classes { preemption_policy: policy, ..Classes::default() });
        assert_eq!(pod["spec"]["preemptionPolicy"], expected);
    }
}

#[test]
fn a_runtime_class_brings_its_overhead() {
    let class: RuntimeClass =
        serde_json::from_value(json!({"handler": "kata", "overhead": {"podFixed": {"memory": "64Mi"}}}))
            .unwrap();
    let pod =
        made(&json!({"spec": {"containers": []}}), Classes { runtime: Some(&class), ..Classes::default() });
    assert_eq!(pod["spec"]["overhead"], json!({"memory": "64Mi"}));
}
