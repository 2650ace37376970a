use tempfile::TempDir;

use super::*;

const AGENT: &str = "\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers:
      - {name: c, image: 'registry.example/agent:1'}
";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn validate(targets: &[PathBuf], strict: bool, input: &str) -> (Result<Validity, ValidateError>, String) {
    let mut out = Vec::new();
    let result = run(targets, strict, &mut input.as_bytes(), &mut out);
    (result, String::from_utf8(out).unwrap())
}

#[test]
fn a_tree_of_good_manifests_is_good() {
    let folder = folder(&[
        ("a.yaml", AGENT),
        ("sub/b.yml", "{apiVersion: v1, kind: Namespace, metadata: {name: b}}"),
        ("c.yaml.bak", "nonsense: ["),
        (".hidden.yaml", "nonsense: ["),
    ]);
    let (result, text) = validate(&[folder.path().to_owned()], true, "");
    assert_eq!(result.unwrap(), Validity::Good, "{text}");
    assert_eq!(text, "2 objects good in 2 files: 0 errors, 0 warnings, 2 files left out by name or type\n");
}

#[test]
fn every_problem_is_told_sorted_by_file_and_line() {
    let folder = folder(&[
        ("b.yaml", &AGENT.replace("name: agent}", "name: Agent}").replace("{name: c,", "{name: C,")),
        ("a.yaml", &AGENT.replace("'registry.example/agent:1'", "5")),
    ]);
    let (result, text) = validate(&[folder.path().to_owned()], false, "");
    assert_eq!(result.unwrap(), Validity::Problems);
    let places: Vec<String> = text
        .lines()
        .map(|line| line.replace(&format!("{}/", folder.path().display()), ""))
        .map(|line| line.splitn(4, ':').take(3).collect::<Vec<_>>().join(":"))
        .collect();
    assert_eq!(
        places[..3],
        [
            "a.yaml:10: spec.template.spec.containers[0].image",
            "b.yaml:3: metadata.name",
            "b.yaml:10: spec.template.spec.containers[0].name"
        ],
        "{text}"
    );
    assert!(text.ends_with("0 objects good in 2 files: 3 errors, 0 warnings\n"), "{text}");
}

#[test]
fn one_object_in_two_files_is_an_error_on_both() {
    let folder = folder(&[("a.yaml", AGENT), ("b.yaml", AGENT)]);
    let (result, text) = validate(&[folder.path().to_owned()], false, "");
    assert_eq!(result.unwrap(), Validity::Problems);
    for name in ["a.yaml:1:", "b.yaml:1:"] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn a_warning_is_an_error_only_in_strict_mode() {
    let text = format!("{AGENT}  replicas: 2\n");
    let input = [PathBuf::from("-")];
    let (result, told) = validate(&input, false, &text);
    assert_eq!(result.unwrap(), Validity::Good);
    assert!(told.starts_with("-:11: warning: spec.replicas: unknown field"), "{told}");
    let (result, told) = validate(&input, true, &text);
    assert_eq!(result.unwrap(), Validity::Problems);
    assert!(told.starts_with("-:11: spec.replicas: unknown field"), "{told}");
}

#[test]
fn a_named_file_counts_whatever_its_name_and_once() {
    let folder = folder(&[("agent.txt", AGENT)]);
    let file = folder.path().join("agent.txt");
    let (result, text) = validate(&[file.clone(), folder.path().join("./agent.txt"), file], false, "");
    assert_eq!(result.unwrap(), Validity::Good, "{text}");
    assert!(text.starts_with("1 object good in 1 file:"), "{text}");
}

#[test]
fn a_relative_directory_is_shown_as_it_was_given() {
    let folder = folder(&[("a.yaml", "kind: DaemonSet\napiVersion: apps/v1\n")]);
    let up = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect::<PathBuf>();
    let relative = up.join(folder.path().strip_prefix("/").unwrap());
    let (_, text) = validate(std::slice::from_ref(&relative), false, "");
    assert!(
        text.starts_with(&format!("{}/a.yaml:1: metadata.name: Required value", relative.display())),
        "{text}"
    );
}

#[test]
fn wrong_usage_is_no_verdict() {
    assert!(matches!(validate(&[], false, "").0, Err(ValidateError::Nothing)));
    let missing = validate(&[PathBuf::from("/nowhere/at/all.yaml")], false, "");
    assert!(matches!(missing.0, Err(ValidateError::Read { .. })));
}

#[test]
fn a_daemon_set_is_judged_by_its_namespace_in_any_of_the_files() {
    let privileged = AGENT
        .replace("metadata: {name: agent}", "metadata: {name: agent, namespace: edge}")
        .replace("{name: c,", "{name: c, securityContext: {privileged: true},");
    let namespace = |labels: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: edge, labels: {{pod-security.kubernetes.io/{labels}}}}}\n"
        )
    };
    let verdict = |labels: &str| {
        let folder = folder(&[("a.yaml", &privileged), ("sub/ns.yaml", &namespace(labels))]);
        let (result, text) = validate(&[folder.path().to_owned()], false, "");
        (result.unwrap(), text.replace(&format!("{}/", folder.path().display()), ""))
    };
    let broken = "PodSecurity \"baseline:latest\": privileged (container \"c\" must not set securityContext.privileged=true)\n";
    let (result, text) = verdict("enforce: baseline");
    assert_eq!(result, Validity::Problems, "{text}");
    assert!(text.starts_with(&format!("a.yaml:1: spec.template.spec: violates {broken}")), "{text}");
    let (result, text) = verdict("warn: baseline");
    assert_eq!(result, Validity::Good, "{text}");
    assert!(
        text.starts_with(&format!("a.yaml:1: warning: spec.template.spec: would violate {broken}")),
        "{text}"
    );
    let (result, text) = verdict("enforce: privileged");
    assert_eq!((result, text.lines().count()), (Validity::Good, 1), "{text}");
    let (result, text) = verdict("enforce: basline");
    assert_eq!(result, Validity::Problems);
    assert!(text.contains("sub/ns.yaml:1: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"basline\": must"), "{text}");
}
