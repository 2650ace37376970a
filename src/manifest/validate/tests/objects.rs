use super::{C, table, told};

#[test]
fn a_missing_selector_is_another_fault_than_an_empty_one() {
    let daemon_set = |selector: &str| {
        told(&format!(
            "{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: a}}, spec: {{{selector} template: {{metadata: {{labels: {{app: a}}}}, spec: {{{C}}}}}}}}}"
        ))
    };
    assert_eq!(
        daemon_set(""),
        [
            "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`: spec.selector is missing"
        ]
    );
    assert_eq!(
        daemon_set("selector: {},"),
        ["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"]
    );
}

#[test]
fn a_selector_must_match_the_templates_labels() {
    let selected = |selector: &str| {
        told(&format!(
            "{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: a}}, spec: {{selector: {{{selector}}}, template: {{metadata: {{labels: {{app: a}}}}, spec: {{{C}}}}}}}}}"
        ))
    };
    let expression = |operator: &str, values: &str| {
        selected(&format!("matchExpressions: [{{key: app, operator: {operator}, values: [{values}]}}]"))
    };
    for good in [
        selected("matchLabels: {app: a}"),
        expression("In", "a"),
        expression("NotIn", "b"),
        expression("Exists", ""),
    ] {
        assert_eq!(good, [""; 0]);
    }
    for bad in [
        selected("matchLabels: {app: b}"),
        expression("In", "b"),
        expression("NotIn", "a"),
        expression("DoesNotExist", ""),
    ] {
        assert_eq!(
            bad,
            [
                "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`"
            ]
        );
    }
}

#[test]
fn other_kinds() {
    table(
        told,
        &[
            ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a.b_c-d: x}}", &[]),
            (
                "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a/b: x}}",
                &["data[a/b]: Invalid value: \"a/b\": a valid config key"],
            ),
            (
                "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: x}, binaryData: {k: eA==}}",
                &["data[k]: Invalid value: \"k\": duplicate of key present in binaryData"],
            ),
            (
                "{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/tls, stringData: {tls.crt: x}}",
                &["data[tls.key]: Required value"],
            ),
            (
                "{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: 'x'}}",
                &["data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\""],
            ),
            (
                "{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/service-account-token}",
                &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            ),
            (
                "{apiVersion: v1, kind: Secret, metadata: {name: a, annotations: {kubernetes.io/service-account.name: b}}, type: kubernetes.io/service-account-token}",
                &[],
            ),
            (
                "{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}",
                &["metadata.name: Invalid value: \"a.b\": must not contain dots"],
            ),
            (
                "{apiVersion: v1, kind: Node, metadata: {name: a, labels: {k: 'a b'}}, spec: {taints: [{key: k, effect: Never}, {key: l}, {key: m, effect: NoSchedule}, {key: m, effect: NoSchedule}]}}",
                &[
                    "metadata.labels: Invalid value: \"a b\"",
                    "metadata.taints[0].effect: Unsupported value: \"Never\"",
                    "metadata.taints[1].effect: Required value",
                    "metadata.taints[3]: Duplicate value: {\"effect\":\"NoSchedule\",\"key\":\"m\"}: taints must be unique by key and effect pair",
                ],
            ),
            (
                "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: a}, value: 1000000001}",
                &["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
            ),
            (
                "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: a}, handler: K}",
                &["handler: Invalid value: \"K\""],
            ),
            (
                "{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: a}, revision: -1}",
                &["revision: Invalid value: -1", "data: Required value"],
            ),
            (
                "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: a-}}",
                &["metadata.name: Required value: a name made by generateName"],
            ),
        ],
    );
}
