use std::path::Path;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::host::ApiServer;
use super::super::testing::{container, pod, pod_spec};
use super::*;
use crate::manifest::{Object, Origin, Stored};

fn objects() -> Objects {
    let metadata = |name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("ns".to_owned()),
        ..ObjectMeta::default()
    };
    let pairs = |list: &[(&str, &str)]| {
        list.iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let config = ConfigMap {
        metadata: metadata("cm"),
        data: Some(pairs(&[("A", "cm-a"), ("B", "$(A)"), ("odd key", "odd")])),
        ..ConfigMap::default()
    };
    let bytes = |text: &[u8]| ByteString(text.to_vec());
    let secret = Secret {
        metadata: metadata("sec"),
        data: Some([("A".to_owned(), bytes(b"sec-a")), ("bin".to_owned(), bytes(b"\xff"))].into()),
        ..Secret::default()
    };
    let stored = [Object::ConfigMap(config), Object::Secret(secret)].map(|object| {
        let origin = Origin { file: Arc::from(Path::new("-")), line: 1 };
        (object.key(), Arc::new(Stored { origin, object }))
    });
    Objects(stored.into())
}

fn resolved_on(host: &Host, fields: &serde_json::Value) -> Result<Vec<(String, String)>, String> {
    let mut json = serde_json::to_value(container("c", "{}")).unwrap();
    json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let container: Container = serde_json::from_value(json).unwrap();
    let pod = pod(pod_spec(vec![container.clone()]));
    resolve(&pod, &container, &objects(), &[IpAddr::from([10, 0, 0, 2])], host)
        .map_err(|error| error.to_string())
}

fn resolved(fields: &serde_json::Value) -> Result<Vec<(String, String)>, String> {
    resolved_on(&Host::for_tests(), fields)
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn later_sources_win_and_values_see_only_what_came_before() {
    let made = resolved(&serde_json::json!({
        "envFrom": [
            {"configMapRef": {"name": "cm"}},
            {"prefix": "P_", "configMapRef": {"name": "cm"}},
            {"secretRef": {"name": "none", "optional": true}},
            {"configMapRef": {"name": "none", "optional": true}},
        ],
        "env": [
            {"name": "EARLY", "value": "$(LATE) $(A) $(B) $$(A)"},
            {"name": "LATE", "value": "x"},
            {"name": "A", "value": "$(A)+"},
            {"name": "EMPTY"},
            {"name": "BOTH", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
    }));
    assert_eq!(
        made,
        Ok(pairs(&[
            ("A", "cm-a+"),
            ("B", "$(A)"),
            ("odd key", "odd"),
            ("P_A", "cm-a"),
            ("P_B", "$(A)"),
            ("P_odd key", "odd"),
            ("EARLY", "$(LATE) cm-a $(A) $(A)"),
            ("LATE", "x"),
            ("EMPTY", ""),
            ("BOTH", "p"),
        ]))
    );
}

#[test]
fn single_values_come_from_every_source() {
    let made = resolved(&serde_json::json!({"env": [
        {"name": "CM", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "A"}}},
        {"name": "SEC", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "A"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "NO_KEY", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "z", "optional": true}}},
        {"name": "NO_MAP", "valueFrom": {"configMapKeyRef": {"name": "z", "key": "z", "optional": true}}},
        {"name": "NO_SECRET", "valueFrom": {"secretKeyRef": {"name": "z", "key": "z", "optional": true}}},
    ]}));
    assert_eq!(made, Ok(pairs(&[("CM", "cm-a"), ("SEC", "sec-a"), ("IP", "10.0.0.2"), ("CPU", "2")])));
}

#[test]
fn what_is_missing_is_told_in_the_kubelets_words() {
    for (fields, told) in [
        (serde_json::json!({"envFrom": [{"configMapRef": {"name": "z"}}]}), "configmap \"z\" not found"),
        (serde_json::json!({"envFrom": [{"secretRef": {"name": "z"}}]}), "secret \"z\" not found"),
        (
            serde_json::json!({"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "z"}}}]}),
            "couldn't find key z in ConfigMap ns/cm",
        ),
        (
            serde_json::json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "z"}}}]}),
            "couldn't find key z in Secret ns/sec",
        ),
        (
            serde_json::json!({"envFrom": [{"secretRef": {"name": "sec"}}]}),
            "key bin in Secret sec is not UTF-8 text, which an environment variable has to be",
        ),
    ] {
        assert_eq!(resolved(&fields), Err(told.to_owned()));
    }
}

#[test]
fn an_api_server_is_announced_and_a_pods_own_variable_wins() {
    let host = Host {
        api_server: Some(ApiServer { host: "192.0.2.7".to_owned(), port: 6443 }),
        ..Host::for_tests()
    };
    let made = resolved_on(
        &host,
        &serde_json::json!({"env": [
            {"name": "URL", "value": "https://$(KUBERNETES_SERVICE_HOST):$(KUBERNETES_SERVICE_PORT)"},
            {"name": "KUBERNETES_SERVICE_HOST", "value": "mine"},
        ]}),
    );
    assert_eq!(
        made,
        Ok(pairs(&[
            ("URL", "https://192.0.2.7:6443"),
            ("KUBERNETES_SERVICE_HOST", "mine"),
            ("KUBERNETES_SERVICE_PORT", "6443"),
            ("KUBERNETES_SERVICE_PORT_HTTPS", "6443"),
            ("KUBERNETES_PORT", "tcp://192.0.2.7:6443"),
            ("KUBERNETES_PORT_6443_TCP", "tcp://192.0.2.7:6443"),
            ("KUBERNETES_PORT_6443_TCP_PROTO", "tcp"),
            ("KUBERNETES_PORT_6443_TCP_PORT", "6443"),
            ("KUBERNETES_PORT_6443_TCP_ADDR", "192.0.2.7"),
        ]))
    );
}

#[test]
fn a_pod_that_skipped_defaulting_is_refused() {
    let mut pod = pod(pod_spec(vec![container("c", "{}")]));
    pod.spec.as_mut().unwrap().enable_service_links = None;
    let container = container("c", "{}");
    let told = resolve(&pod, &container, &Objects::default(), &[], &Host::for_tests()).unwrap_err();
    assert_eq!(told, TranslateError::NoServiceLinks);
}
