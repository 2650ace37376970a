//! Levels, versions, labels, and which checks are made together.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::*;

fn standard(level: Level, version: Version) -> Standard {
    Standard { level, version }
}

#[test]
fn versions_are_latest_or_of_kubernetes_1() {
    for (text, expected) in [
        ("latest", Some(Version::Latest)),
        ("v1.0", Some(Version::Minor(0))),
        ("v1.34", Some(Version::Minor(34))),
        ("v1.99", Some(Version::Minor(99))),
        ("v1.034", None),
        ("v1.00", None),
        ("v1.", None),
        ("v1.+3", None),
        ("v1.3.1", None),
        ("v2.0", None),
        ("1.34", None),
        ("Latest", None),
        ("", None),
        ("v1.99999999999999999999999", None),
    ] {
        assert_eq!(Version::parse(text).ok(), expected, "{text:?}");
    }
    assert_eq!(standard(Level::Baseline, Version::Minor(30)).to_string(), "baseline:v1.30");
    assert_eq!(Standard::default().to_string(), "privileged:latest");
}

fn modes(labels: &[(&str, &str)], defaults: Modes) -> (String, Vec<String>) {
    let labels: BTreeMap<String, String> = labels
        .iter()
        .map(|(name, value)| (format!("pod-security.kubernetes.io/{name}"), (*value).to_owned()))
        .collect();
    let (Modes { enforce, audit, warn }, faults) = Modes::of(Some(&labels), defaults);
    (format!("{enforce} {audit} {warn}"), faults.iter().map(ToString::to_string).collect())
}

#[test]
fn labels_say_what_counts_and_a_misspelt_level_enforces_the_strictest() {
    let all = "privileged:latest";
    for (labels, expected, faults) in [
        (&[][..], format!("{all} {all} {all}"), 0),
        (&[("enforce", "baseline")], format!("baseline:latest {all} baseline:latest"), 0),
        (
            &[("enforce", "baseline"), ("enforce-version", "v1.30")],
            format!("baseline:v1.30 {all} baseline:v1.30"),
            0,
        ),
        (
            &[("enforce", "baseline"), ("enforce-version", "v1.30"), ("warn-version", "v1.31")],
            format!("baseline:v1.30 {all} baseline:v1.31"),
            0,
        ),
        (
            &[("enforce", "restricted"), ("warn", "baseline")],
            format!("restricted:latest {all} baseline:latest"),
            0,
        ),
        (&[("enforce", "restricted"), ("warn", "privileged")], format!("restricted:latest {all} {all}"), 0),
        (&[("audit", "restricted"), ("audit-version", "v1.1")], format!("{all} restricted:v1.1 {all}"), 0),
        (&[("enforce", "Baseline")], format!("restricted:latest {all} {all}"), 1),
        (&[("enforce", "")], format!("restricted:latest {all} {all}"), 1),
        (
            &[("enforce", "baseline"), ("enforce-version", "30")],
            format!("baseline:latest {all} baseline:latest"),
            1,
        ),
        (&[("audit", "x"), ("warn", "x")], format!("{all} {all} {all}"), 2),
    ] {
        let (found, told) = modes(labels, Modes::default());
        assert_eq!((found, told.len()), (expected, faults), "{labels:?}");
    }
    assert_eq!(
        modes(&[("enforce", "x")], Modes::default()).1,
        [
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": must be one of privileged, baseline, restricted"
        ]
    );
}

#[test]
fn what_no_label_says_is_the_agents() {
    let strict = standard(Level::Restricted, Version::Minor(30));
    let defaults = Modes { enforce: strict, audit: strict, warn: strict };
    assert_eq!(Modes::of(None, defaults), (defaults, Vec::new()));
    let (found, _) = modes(&[("enforce", "privileged"), ("audit-version", "latest")], defaults);
    assert_eq!(found, "privileged:v1.30 restricted:latest restricted:v1.30");
}

fn pod(spec: serde_json::Value) -> Pod {
    serde_json::from_value(json!({ "spec": spec })).unwrap()
}

fn says(level: Level, version: Version, pod: &Pod) -> String {
    let found = evaluate(standard(level, version), &pod.metadata, pod.spec.as_ref().unwrap());
    found.map(|found| found.to_string()).unwrap_or_default()
}

#[test]
fn a_bare_pod_is_told_all_that_restricted_asks_in_upstreams_order() {
    let bare = pod(json!({"containers": [{"name": "x"}]}));
    assert_eq!(says(Level::Privileged, Version::Latest, &bare), "");
    assert_eq!(says(Level::Baseline, Version::Latest, &bare), "");
    assert_eq!(
        says(Level::Restricted, Version::Latest, &bare),
        "PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"x\" must set \
         securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"x\" must set \
         securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"x\" must set \
         securityContext.runAsNonRoot=true), seccompProfile (pod or container \"x\" must set \
         securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    assert_eq!(
        says(Level::Restricted, Version::Minor(7), &bare),
        "PodSecurity \"restricted:v1.7\": runAsNonRoot != true (pod or container \"x\" must set securityContext.runAsNonRoot=true)"
    );
}

#[test]
fn a_hardened_pod_is_allowed_everywhere() {
    let hardened = pod(json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "x",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
        "volumes": [{"name": "e", "emptyDir": {}}],
    }));
    for version in (0..40).map(Version::Minor).chain([Version::Latest]) {
        assert_eq!(says(Level::Restricted, version, &hardened), "", "{version}");
    }
}

#[test]
fn a_stricter_check_takes_the_place_of_the_one_below_it() {
    let loose = pod(json!({
        "containers": [{"name": "x", "securityContext": {
            "privileged": true,
            "procMount": "Unmasked",
            "capabilities": {"add": ["SYS_ADMIN"]},
            "seccompProfile": {"type": "Unconfined"},
        }}],
        "volumes": [{"name": "h", "hostPath": {"path": "/"}}],
    }));
    let reasons = |level, minor| {
        let found = evaluate(standard(level, minor), &loose.metadata, loose.spec.as_ref().unwrap());
        found.map(|it| it.found.into_iter().map(|it| it.reason).collect::<Vec<_>>()).unwrap_or_default()
    };
    assert_eq!(
        reasons(Level::Baseline, Version::Latest),
        ["non-default capabilities", "hostPath volumes", "privileged", "procMount", "seccompProfile"]
    );
    assert_eq!(
        reasons(Level::Restricted, Version::Latest),
        [
            "privileged",
            "allowPrivilegeEscalation != false",
            "unrestricted capabilities",
            "procMount",
            "restricted volume types",
            "runAsNonRoot != true",
            "seccompProfile",
        ]
    );
    assert_eq!(
        reasons(Level::Restricted, Version::Minor(18)),
        [
            "non-default capabilities",
            "privileged",
            "procMount",
            "allowPrivilegeEscalation != false",
            "restricted volume types",
            "runAsNonRoot != true",
        ]
    );
}

#[test]
fn a_version_of_the_future_is_the_newest_known() {
    let probe = json!({"httpGet": {"port": 1, "host": "h"}});
    let pod = pod(json!({"containers": [{"name": "x", "livenessProbe": probe}]}));
    let shown = |version| says(Level::Baseline, version, &pod);
    assert_eq!(shown(Version::Minor(33)), "");
    assert!(
        shown(Version::Minor(500)).starts_with("PodSecurity \"baseline:v1.500\": probe or lifecycle host")
    );
}
