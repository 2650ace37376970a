//! A DaemonSet, its Namespace and the agent's policy together.

use std::path::Path;

use serde_json::{Value, json};

use super::pod_security::Level;
use super::registries::Registry;
use super::*;
use crate::manifest;

fn daemon_set(spec: Value) -> DaemonSet {
    serde_json::from_value(json!({
        "metadata": {"name": "app", "namespace": "edge"},
        "spec": {"selector": {}, "template": {"metadata": {"labels": {"app": "app"}}, "spec": spec}},
    }))
    .unwrap()
}

fn namespace(labels: Value) -> Objects {
    let text =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "edge", "labels": labels}})
            .to_string();
    let reading = manifest::read(Path::new("ns.yaml"), text.as_bytes());
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    let stored = reading.objects.into_iter().map(|stored| (stored.object.key(), std::sync::Arc::new(stored)));
    Objects(stored.collect())
}

fn privileged() -> DaemonSet {
    daemon_set(
        json!({"containers": [{"name": "c", "image": "busybox", "securityContext": {"privileged": true}}]}),
    )
}

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const WARN: &str = "pod-security.kubernetes.io/warn";
const AUDIT: &str = "pod-security.kubernetes.io/audit";

#[test]
fn nothing_is_forbidden_unless_somebody_says_so() {
    assert_eq!(Policy::default().judge(&privileged(), &Objects::default()), Judgement::default());
}

#[test]
fn a_namespace_that_enforces_refuses_in_the_api_servers_words() {
    let judgement = Policy::default().judge(&privileged(), &namespace(json!({ENFORCE: "baseline"})));
    assert_eq!(
        judgement.forbids("app-x").as_deref(),
        Some(
            "pods \"app-x\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"c\" must not set \
             securityContext.privileged=true)"
        )
    );
    assert_eq!(judgement.warning, None, "what is refused is not warned of");
    let plain = daemon_set(json!({"containers": [{"name": "c"}]}));
    let judgement = Policy::default().judge(&plain, &namespace(json!({ENFORCE: "baseline"})));
    assert_eq!(judgement, Judgement::default());
}

#[test]
fn warn_and_audit_let_the_pod_be_made() {
    let objects = namespace(json!({WARN: "baseline", AUDIT: "restricted"}));
    let judgement = Policy::default().judge(&privileged(), &objects);
    assert_eq!(judgement.forbids("x"), None);
    assert!(
        judgement.warning.unwrap().to_string().starts_with("PodSecurity \"baseline:latest\": privileged")
    );
    assert!(
        judgement.audit.unwrap().to_string().starts_with("PodSecurity \"restricted:latest\": privileged")
    );
}

#[test]
fn a_label_nobody_can_read_enforces_the_strictest_and_is_named() {
    let judgement =
        Policy::default().judge(&privileged(), &namespace(json!({ENFORCE: "basline", WARN: "x"})));
    let said = judgement.forbids("x").unwrap();
    assert!(said.contains("\"restricted:latest\""), "{said}");
    assert!(said.ends_with(
        "; the Namespace has metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"basline\": must be one of \
         privileged, baseline, restricted"
    ), "{said}");
    assert_eq!(judgement.label_faults.len(), 2);
}

#[test]
fn the_agents_default_counts_where_there_is_no_label() {
    let mut policy = Policy::default();
    policy.defaults.enforce.level = Level::Baseline;
    assert!(policy.judge(&privileged(), &Objects::default()).forbids("x").is_some());
    assert!(policy.judge(&privileged(), &namespace(json!({"team": "edge"}))).forbids("x").is_some());
    assert!(policy.judge(&privileged(), &namespace(json!({ENFORCE: "privileged"}))).forbids("x").is_none());
}

#[test]
fn an_exempt_namespace_is_exempt_from_standards_but_not_from_the_nodes_lists() {
    let policy = Policy {
        exempt_namespaces: ["edge".to_owned()].into(),
        registries: Registries::new(vec![Registry::parse("registry.example").unwrap()]),
        ..Policy::default()
    };
    let objects = namespace(json!({ENFORCE: "restricted", WARN: "restricted", AUDIT: "restricted"}));
    let judgement = policy.judge(&privileged(), &objects);
    assert!(matches!(judgement.refusals.as_slice(), [Refusal::Field(_)]), "{judgement:?}");
    assert_eq!((judgement.warning, judgement.audit), (None, None));
}

#[test]
fn every_reason_is_told_at_once() {
    let policy = Policy {
        host_paths: HostPaths::new(vec!["/var/log".into()]),
        registries: Registries::new(vec![Registry::parse("registry.example").unwrap()]),
        ..Policy::default()
    };
    let set = daemon_set(json!({
        "containers": [{"name": "c", "image": "busybox"}],
        "volumes": [{"name": "v", "hostPath": {"path": "/etc"}}],
    }));
    let said = policy.judge(&set, &namespace(json!({ENFORCE: "baseline"}))).forbids("x").unwrap();
    for piece in [
        "violates PodSecurity \"baseline:latest\": hostPath volumes (volume \"v\")",
        "; spec.volumes[0].hostPath.path: Forbidden: \"/etc\"",
        "; spec.containers[0].image: Forbidden: \"docker.io/library/busybox\"",
    ] {
        assert!(said.contains(piece), "{piece}: {said}");
    }
}

#[test]
fn ports_of_a_pod_on_the_hosts_network_are_host_ports() {
    let set = daemon_set(json!({
        "hostNetwork": true,
        "containers": [{"name": "c", "ports": [{"containerPort": 9100}]}],
    }));
    let said = Policy::default().judge(&set, &namespace(json!({ENFORCE: "baseline"}))).forbids("x").unwrap();
    assert!(
        said.ends_with("host namespaces (hostNetwork=true), hostPort (container \"c\" uses hostPort 9100)"),
        "{said}"
    );
}
