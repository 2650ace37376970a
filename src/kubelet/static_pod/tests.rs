use serde_json::{Value, json};

use super::*;

fn key() -> DaemonSetKey {
    DaemonSetKey { namespace: "kube-system".into(), name: "proxy".into() }
}

fn pod(spec: Value) -> Pod {
    let mut base = json!({"containers": [{"name": "main", "image": "a:1"}]});
    for (field, value) in spec.as_object().unwrap() {
        base[field] = value.clone();
    }
    serde_json::from_value(json!({
        "metadata": {
            "name": "proxy-x7f2k", "namespace": "kube-system", "uid": "u", "generateName": "proxy-",
            "labels": {"app": "proxy", "controller-revision-hash": "abc", "pod-template-generation": "2"},
            "annotations": {"note": "kept", "daemonlet.dev/revision": "abc"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "proxy", "uid": "d"}],
        },
        "spec": base,
        "status": {"phase": "Running"},
    }))
    .unwrap()
}

#[test]
fn what_says_whose_a_pod_is_or_where_it_runs_is_left_out_and_all_else_stays() {
    let by_name = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]},
    ]}}});
    let made = of(
        &pod(json!({
            "nodeName": "node-1", "affinity": by_name, "hostNetwork": true, "priority": 2_000_001_000,
            "priorityClassName": "system-node-critical", "serviceAccountName": "default",
            "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 5,
            "volumes": [{"name": "run", "hostPath": {"path": "/run"}},
                {"name": "about", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}],
        })),
        &key(),
    )
    .unwrap();
    assert_eq!(
        serde_json::to_value(&made.pod).unwrap(),
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "proxy", "namespace": "kube-system", "labels": {"app": "proxy"},
                "annotations": {"note": "kept", "daemonlet.dev/handed-over-from": "kube-system/proxy"},
            },
            "spec": {
                "containers": [{"name": "main", "image": "a:1"}], "hostNetwork": true, "priority": 2_000_001_000,
                "priorityClassName": "system-node-critical", "tolerations": [{"operator": "Exists"}],
                "terminationGracePeriodSeconds": 5,
                "volumes": [{"name": "run", "hostPath": {"path": "/run"}},
                    {"name": "about", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}],
            },
        })
    );
    assert_eq!(made.notes, [] as [String; 0]);
    assert_eq!(file_name(&key()), "daemonlet_kube-system_proxy.yaml");
}

#[test]
fn what_somebody_may_miss_is_said() {
    let made = of(
        &pod(json!({
            "nodeSelector": {"disk": "ssd"}, "serviceAccountName": "proxy", "serviceAccount": "proxy",
            "volumes": [{"name": "cache", "emptyDir": {}}],
        })),
        &key(),
    )
    .unwrap();
    let spec = made.pod.spec.unwrap();
    assert!(
        spec.node_selector.is_none() && spec.service_account_name.is_none() && spec.service_account.is_none()
    );
    assert_eq!(made.notes.len(), 3, "{:#?}", made.notes);
    for (note, part) in
        made.notes.iter().zip(["\"proxy\" is left out", "nodeSelector", "\"cache\" begins empty"])
    {
        assert!(note.contains(part), "{note}");
    }
}

#[test]
fn what_a_kubelet_may_not_be_able_to_start_is_said() {
    let made = of(
        &pod(json!({
            "runtimeClassName": "kata",
            "initContainers": [{"name": "init", "image": "a:latest", "imagePullPolicy": "Always"}],
            "containers": [{"name": "main", "image": "a:1", "imagePullPolicy": "IfNotPresent"}],
        })),
        &key(),
    )
    .unwrap();
    let expected =
        ["spec.runtimeClassName: \"kata\"", "container \"init\": its image is asked of a registry"];
    assert_eq!(made.notes.len(), expected.len(), "{:#?}", made.notes);
    assert!(made.notes.iter().zip(expected).all(|(note, words)| note.contains(words)), "{:#?}", made.notes);
}

#[test]
fn a_pod_that_needs_an_object_of_the_api_is_refused_by_each_field() {
    let main = |more: Value| {
        let mut container = json!({"name": "main", "image": "a:1"});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"containers": [container]})
    };
    let projected = |source: Value| json!({"volumes": [{"name": "v", "projected": {"sources": [source]}}]});
    let rows = [
        (
            json!({"volumes": [{"name": "v", "configMap": {"name": "cm"}}]}),
            "spec.volumes[0].configMap: refers to ConfigMap \"cm\"",
        ),
        // Optional or not: the kubelet would ask for it all the same.
        (
            json!({"volumes": [{"name": "v", "secret": {"secretName": "s", "optional": true}}]}),
            "spec.volumes[0].secret: refers to Secret \"s\"",
        ),
        (
            json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}),
            "spec.volumes[0].persistentVolumeClaim: refers to PersistentVolumeClaim \"c\"",
        ),
        (
            projected(json!({"configMap": {"name": "cm"}})),
            "spec.volumes[0].projected.sources[0].configMap: refers",
        ),
        (projected(json!({"secret": {"name": "s"}})), "spec.volumes[0].projected.sources[0].secret: refers"),
        (
            projected(json!({"serviceAccountToken": {"path": "token"}})),
            "spec.volumes[0].projected.sources[0].serviceAccountToken: refers to ServiceAccount",
        ),
        (
            projected(json!({"clusterTrustBundle": {"name": "b", "path": "ca"}})),
            "spec.volumes[0].projected.sources[0].clusterTrustBundle: refers",
        ),
        (
            main(json!({"envFrom": [{"configMapRef": {"name": "cm"}}]})),
            "spec.containers[0].envFrom[0].configMapRef: refers",
        ),
        (
            main(json!({"envFrom": [{"secretRef": {"name": "s"}}]})),
            "spec.containers[0].envFrom[0].secretRef: refers",
        ),
        (
            main(
                json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}]}),
            ),
            "spec.containers[0].env[0].valueFrom.configMapKeyRef: refers",
        ),
        (
            main(json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]})),
            "spec.containers[0].env[0].valueFrom.secretKeyRef: refers",
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "a:1", "envFrom": [{"secretRef": {"name": "s"}}]}]}),
            "spec.initContainers[0].envFrom[0].secretRef: refers",
        ),
        (json!({"imagePullSecrets": [{"name": "s"}]}), "spec.imagePullSecrets[0]: refers to Secret \"s\""),
        (
            json!({"resourceClaims": [{"name": "gpu"}]}),
            "spec.resourceClaims[0]: refers to ResourceClaim \"gpu\"",
        ),
    ];
    for (spec, expected) in rows {
        let refused = of(&pod(spec), &key()).unwrap_err();
        assert_eq!(refused.len(), 1, "{refused:#?}");
        assert!(refused[0].starts_with(expected), "{} is not {expected}", refused[0]);
    }
    let both = of(
        &pod(
            json!({"imagePullSecrets": [{"name": "s"}], "volumes": [{"name": "v", "configMap": {"name": "cm"}}]}),
        ),
        &key(),
    );
    assert_eq!(both.unwrap_err().len(), 2);
}

#[test]
fn what_was_written_is_read_again_and_what_somebody_made_of_it_is_not_guessed_at() {
    let made =
        of(&pod(json!({"hostNetwork": true, "terminationGracePeriodSeconds": 5})), &key()).unwrap().pod;
    let text = crate::agent::static_pod_text(&made, &key());
    assert_eq!(read(&text), Some(made));
    for broken in ["", "kind: Pod\nspec: [", "spec: {hostNetwork: 7}\n"] {
        assert_eq!(read(broken), None, "{broken}");
    }
}
