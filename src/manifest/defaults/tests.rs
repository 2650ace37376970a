use std::path::Path;

use serde_json::{Value, json};

use crate::manifest::{Object, read};

fn defaulted(manifest: &str) -> Value {
    let reading = read(Path::new("x"), manifest.as_bytes());
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    match &reading.objects[0].object {
        Object::DaemonSet(found) => json!(found),
        Object::Secret(found) => json!(found),
        Object::PriorityClass(found) => json!(found),
        Object::Node(found) => json!(found),
        other => panic!("{other:?}"),
    }
}

fn daemon_set(spec: &str, pod: &str) -> Value {
    defaulted(&format!(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: a}}\nspec:\n  selector: {{matchLabels: {{app: a}}}}\n  {spec}\n  template:\n    metadata: {{labels: {{app: a}}}}\n    spec: {{{pod}}}\n"
    ))
}

#[test]
fn a_daemon_set_gets_the_api_servers_defaults_and_no_more() {
    let found = daemon_set("", "containers: [{name: c, image: i}]");
    assert_eq!(
        found,
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "a", "namespace": "default"},
            "spec": {
                "revisionHistoryLimit": 10,
                "selector": {"matchLabels": {"app": "a"}},
                "template": {
                    "metadata": {"labels": {"app": "a"}},
                    "spec": {
                        "containers": [{
                            "name": "c", "image": "i", "imagePullPolicy": "Always",
                            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"
                        }],
                        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                        "securityContext": {}, "terminationGracePeriodSeconds": 30
                    }
                },
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
            }
        })
    );
}

#[test]
fn on_delete_has_no_rolling_update() {
    let found = daemon_set("updateStrategy: {type: OnDelete}", "containers: [{name: c, image: i}]");
    assert_eq!(found["spec"]["updateStrategy"], json!({"type": "OnDelete"}));
}

#[test]
fn the_pull_policy_follows_the_tag() {
    let digest = format!("sha256:{}", "0".repeat(64));
    for (image, policy) in [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("registry.example:5000/a", "Always"),
        ("a:1", "IfNotPresent"),
        ("registry.example:5000/a:1", "IfNotPresent"),
        (&format!("a@{digest}"), "IfNotPresent"),
        (&format!("a:1@{digest}"), "IfNotPresent"),
        (&format!("a:latest@{digest}"), "Always"),
        ("a:latest@sha256:0000", "IfNotPresent"),
    ] {
        let found = daemon_set("", &format!("containers: [{{name: c, image: '{image}'}}]"));
        assert_eq!(found["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn containers_are_defaulted_to_the_last_field() {
    let found = daemon_set(
        "",
        "hostNetwork: true, containers: [{name: c, image: 'i:1', ports: [{containerPort: 80}], resources: {limits: {cpu: 0.1m}}, \
         env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}], \
         livenessProbe: {httpGet: {port: 80}, periodSeconds: 0}, lifecycle: {preStop: {httpGet: {port: 80, path: ''}}}}]",
    );
    let container = &found["spec"]["template"]["spec"]["containers"][0];
    // No hostPort and no requests: those two are given to Pods only.
    assert_eq!(container["ports"], json!([{"containerPort": 80, "protocol": "TCP"}]));
    assert_eq!(container["resources"], json!({"limits": {"cpu": "1m"}}));
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(
        container["livenessProbe"],
        json!({
            "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
            "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1
        })
    );
    assert_eq!(
        container["lifecycle"]["preStop"]["httpGet"],
        json!({"path": "/", "port": 80, "scheme": "HTTP"})
    );
}

#[test]
fn volumes_are_defaulted() {
    let found = daemon_set(
        "",
        "containers: [{name: c, image: i}], serviceAccount: s, volumes: [{name: a}, {name: b, hostPath: {path: /b}}, \
         {name: c, secret: {secretName: c}}, {name: d, configMap: {name: d, defaultMode: 0400}}, \
         {name: e, projected: {sources: [{serviceAccountToken: {path: t}}]}}]",
    );
    let spec = &found["spec"]["template"]["spec"];
    assert_eq!(spec["serviceAccountName"], "s");
    let volumes = &spec["volumes"];
    assert_eq!(volumes[0]["emptyDir"], json!({}));
    assert_eq!(volumes[1]["hostPath"], json!({"path": "/b", "type": ""}));
    assert_eq!(volumes[2]["secret"]["defaultMode"], 0o644);
    assert_eq!(volumes[3]["configMap"]["defaultMode"], 0o400);
    assert_eq!(volumes[4]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3600);
}

#[test]
fn plain_text_of_a_secret_rules_over_its_data() {
    let found = defaulted(
        "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {k: eA==, l: eQ==}, stringData: {k: z}}",
    );
    assert_eq!(found["type"], "Opaque");
    assert_eq!(found["data"], json!({"k": "eg==", "l": "eQ=="}));
    assert_eq!(found["stringData"], Value::Null);
}

#[test]
fn kinds_without_namespaces_have_none() {
    let found = defaulted("{apiVersion: v1, kind: Node, metadata: {name: a, namespace: b}}");
    assert_eq!(found["metadata"], json!({"name": "a"}));
    let class = "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: a}, value: 1}";
    assert_eq!(defaulted(class)["preemptionPolicy"], "PreemptLowerPriority");
}
