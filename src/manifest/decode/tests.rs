use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::*;
use crate::manifest::yaml;

fn tree(text: &str) -> Node {
    let (mut documents, error) = yaml::parse(text, 1);
    assert_eq!(error, None);
    documents.remove(0).root
}

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{}: {}: {}", f.line, f.path, f.message)).collect()
}

fn fault_of(template_spec: &str) -> Vec<String> {
    let text = format!("spec:\n  template:\n    spec:\n{template_spec}");
    let (object, findings) = decode::<DaemonSet>(&tree(&text));
    assert!(object.is_some());
    told(&findings.errors)
}

#[test]
fn every_type_error_is_told_with_its_path_and_line() {
    let errors = fault_of(
        "      hostNetwork: 'true'\n      containers:\n      - name: a\n        env:\n        - {name: A, value: 123}\n        - {name: B, value: yes}\n        ports: 80\n        image: [x]\n",
    );
    assert_eq!(
        errors,
        [
            "4: spec.template.spec.hostNetwork: Invalid value: \"true\": cannot read string as bool: write it without quotes",
            "8: spec.template.spec.containers[0].env[0].value: Invalid value: 123: cannot read number as string: put it in quotes",
            "9: spec.template.spec.containers[0].env[1].value: Invalid value: true: cannot read bool as string: put it in quotes (YAML takes y, n, yes, no, on and off for booleans, too)",
            "10: spec.template.spec.containers[0].ports: Invalid value: 80: cannot read number as array",
            "11: spec.template.spec.containers[0].image: cannot read array as string",
        ]
    );
}

#[test]
fn integers_keep_to_their_range() {
    let errors = fault_of(
        "      priority: 9223372036854775807\n      terminationGracePeriodSeconds: 1.5\n      activeDeadlineSeconds: '3'\n",
    );
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].contains("between -2147483648 and 2147483647"));
    assert!(errors[1].contains("must be an integer"));
    assert!(errors[2].contains("without quotes"));
}

#[test]
fn unknown_fields_are_told_and_do_no_harm() {
    let text = tree(
        "spec:\n  template:\n    spec:\n      containers:\n      - name: a\n        imge: x\n  replicas: 3\nfoo: {a: [1]}\n",
    );
    let (object, findings) = decode::<DaemonSet>(&text);
    assert!(object.is_some() && findings.errors.is_empty());
    let paths: Vec<_> = findings.unknown.iter().map(|f| (f.path.to_string(), f.line)).collect();
    assert_eq!(
        paths,
        [
            ("spec.template.spec.containers[0].imge".to_owned(), 6),
            ("spec.replicas".to_owned(), 7),
            ("foo".to_owned(), 8)
        ]
    );
}

#[test]
fn null_is_the_zero_value_as_in_go() {
    let text = tree(
        "metadata:\n  creationTimestamp: null\n  labels: {a: }\nspec:\n  selector:\n  template:\n    spec:\n      nodeSelector: {role: ~}\n      volumes: null\n      containers:\n      - name:\n        command: [a, ~]\n",
    );
    let (object, findings) = decode::<DaemonSet>(&text);
    assert!(findings.errors.is_empty(), "{:?}", findings.errors);
    let object = object.unwrap();
    assert_eq!(object.metadata.labels.unwrap()["a"], "");
    let spec = object.spec.unwrap().template.spec.unwrap();
    assert_eq!(spec.node_selector.unwrap()["role"], "");
    assert_eq!(spec.containers[0].command.as_deref(), Some(&["a".to_owned(), String::new()][..]));
    assert_eq!(spec.volumes, None);
}

#[test]
fn quantities_may_be_numbers_and_are_made_canonical() {
    let text = tree(
        "spec:\n  template:\n    spec:\n      containers:\n      - name: a\n        resources:\n          limits: {cpu: 0.5, memory: 1.5Gi, x: 2}\n          requests: {cpu: lots, memory: [1]}\n",
    );
    let (object, findings) = decode::<DaemonSet>(&text);
    let spec = object.unwrap().spec.unwrap().template.spec.unwrap();
    let limits = spec.containers[0].resources.clone().unwrap().limits.unwrap();
    assert_eq!(limits["cpu"].0, "500m");
    assert_eq!(limits["memory"].0, "1536Mi");
    assert_eq!(limits["x"].0, "2");
    let errors = told(&findings.errors);
    assert!(errors[0].starts_with(
        "8: spec.template.spec.containers[0].resources.requests[cpu]: Invalid value: \"lots\": quantities"
    ));
    assert!(
        errors[1]
            .starts_with("8: spec.template.spec.containers[0].resources.requests[memory]: cannot read array")
    );
}

#[test]
fn int_or_string_is_either_and_nothing_else() {
    let read = |text: &str| {
        let text = format!("spec: {{updateStrategy: {{rollingUpdate: {{maxUnavailable: {text}}}}}}}");
        let tree = tree(&text);
        let (object, findings) = decode::<DaemonSet>(&tree);
        let update = object.unwrap().spec.unwrap().update_strategy.unwrap().rolling_update.unwrap();
        (update.max_unavailable, findings.errors.len())
    };
    assert_eq!(read("3"), (Some(IntOrString::Int(3)), 0));
    assert_eq!(read("10%"), (Some(IntOrString::String("10%".to_owned())), 0));
    assert_eq!(read("99999999999").1, 1);
    assert_eq!(read("yes").1, 1);
    assert_eq!(read("[1]").1, 1);
    assert_eq!(read("1.5").1, 1);
    assert_eq!(read("~"), (None, 0));
}

#[test]
fn times_and_base64_are_checked() {
    let (_, findings) = decode::<DaemonSet>(&tree("metadata: {creationTimestamp: yesterday}"));
    assert_eq!(findings.errors.len(), 1);
    let text = tree("data:\n  good: |\n    aGVs\n    bG8=\n  bad: '&&&'\n");
    let (object, findings) = decode::<Secret>(&text);
    assert_eq!(object.unwrap().data.unwrap()["good"].0, b"hello");
    assert_eq!(told(&findings.errors).len(), 1);
    assert!(findings.errors[0].message.contains("stringData") && !findings.errors[0].message.contains("&&&"));
}

#[test]
fn free_form_content_is_kept_whole() {
    let text = tree("revision: 2\ndata: {spec: {a: [1, x, true, null, 1.5]}}");
    let (object, findings) = decode::<ControllerRevision>(&text);
    assert!(findings.errors.is_empty() && findings.unknown.is_empty(), "{findings:?}");
    assert_eq!(
        object.unwrap().data.unwrap().0,
        serde_json::json!({"spec": {"a": [1, "x", true, null, 1.5]}})
    );
}

#[test]
fn a_scalar_where_an_object_is_due_is_one_error() {
    let (object, findings) = decode::<ConfigMap>(&tree("metadata: x\ndata: [a]\n"));
    assert!(object.is_some());
    assert_eq!(told(&findings.errors).len(), 2);
}
