//! The rules as tables: a manifest and what the API server says of it.

mod container;
mod objects;
mod pod;
mod volumes;

use std::path::Path;

use crate::manifest::{Severity, read};

fn told(manifest: &str) -> Vec<String> {
    let reading = read(Path::new("x"), manifest.as_bytes());
    let errors = reading.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let told: Vec<_> = errors.map(|problem| format!("{}: {}", problem.field, problem.message)).collect();
    assert_eq!(reading.objects.is_empty(), !told.is_empty(), "{manifest}");
    told
}

const POD: &str = "spec.template.spec.";
const CONTAINER: &str = "spec.template.spec.containers[0].";

/// What is said of a pod template's specification, without the path to it.
fn of_pod(spec: &str) -> Vec<String> {
    let manifest = format!(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: a}}\nspec:\n  selector: {{matchLabels: {{app: a}}}}\n  template:\n    metadata: {{labels: {{app: a}}}}\n    spec: {{{spec}}}\n"
    );
    told(&manifest).into_iter().map(|error| error.strip_prefix(POD).unwrap_or(&error).to_owned()).collect()
}

/// What is said of the only container, given its fields beside name and image.
fn of_container(fields: &str) -> Vec<String> {
    let pod = format!(
        "containers: [{{name: c, image: i, {fields}}}], volumes: [{{name: v}}, {{name: w, image: {{reference: i}}}}]"
    );
    let strip = |error: String| format!("{POD}{error}").strip_prefix(CONTAINER).unwrap_or(&error).to_owned();
    of_pod(&pod).into_iter().map(strip).collect()
}

#[track_caller]
fn table(of: fn(&str) -> Vec<String>, rows: &[(&str, &[&str])]) {
    for (manifest, expected) in rows {
        let told = of(manifest);
        assert_eq!(told.len(), expected.len(), "{manifest}: {told:#?}");
        for (told, expected) in told.iter().zip(*expected) {
            assert!(told.starts_with(expected), "{manifest}:\n  told     {told}\n  expected {expected}");
        }
    }
}

const C: &str = "containers: [{name: c, image: i}]";

fn beside_container(fields: &str) -> Vec<String> {
    of_pod(&format!("{C}, {fields}"))
}
