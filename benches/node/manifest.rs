//! The pods that are measured: the same for every agent, as a DaemonSet or as a static pod.

use serde_json::{Value, json};

/// The image of every container.
pub(crate) const IMAGE: &str = "docker.io/library/busybox:1";

/// A pod on the host's network with one container, named as the pod is.
pub(crate) fn pod_spec(name: &str) -> Value {
    json!({
        "hostNetwork": true,
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": name,
            "image": IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/busybox", "sleep", "100000"],
            "env": [
                {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "LOG_LEVEL", "value": "info"},
            ],
            "resources": {
                "requests": {"cpu": "1m", "memory": "1Mi"},
                "limits": {"memory": "64Mi"},
            },
            "volumeMounts": [{"name": "host-tmp", "mountPath": "/host/tmp", "readOnly": true}],
        }],
        "volumes": [{"name": "host-tmp", "hostPath": {"path": "/tmp", "type": "Directory"}}],
    })
}

/// A DaemonSet of such pods.
pub(crate) fn daemon_set(name: &str, spec: &Value) -> Value {
    let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench"});
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "bench", "labels": labels},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    })
}

/// Such a pod as a kubelet reads it from a file.
pub(crate) fn static_pod(name: &str, spec: &Value) -> Value {
    let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench"});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "bench", "labels": labels},
        "spec": spec,
    })
}
