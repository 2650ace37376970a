//! The shared case collections: what the API server takes and refuses, and manifests as vendors publish them.
//!
//! They are no part of this repository; `DAEMONLET_SHARED` names the folder that holds them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;

fn shared(below: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("DAEMONLET_SHARED") else {
        eprintln!("SKIPPED: DAEMONLET_SHARED is not set, so {below} was not looked at");
        return None;
    };
    Some(Path::new(&folder).join(below))
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn errors(reading: &Reading) -> Vec<&Problem> {
    reading.problems.iter().filter(|problem| problem.severity == Severity::Error).collect()
}

#[test]
fn every_invalid_daemon_set_is_refused_at_the_stated_path() {
    let Some(path) = shared("cases/placement/invalid.jsonl") else { return };
    let cases = lines(&path);
    assert!(cases.len() >= 50);
    for case in cases {
        let reading = read(Path::new("case.json"), case["daemonset"].to_string().as_bytes());
        assert!(reading.objects.is_empty(), "accepted: {}", case["id"]);
        let told: Vec<_> = errors(&reading).iter().map(|problem| problem.field.clone()).collect();
        for expected in case["errors"].as_array().unwrap() {
            let message = match expected["type"].as_str().unwrap() {
                "FieldValueRequired" => "Required value",
                "FieldValueForbidden" => "Forbidden",
                "FieldValueNotSupported" => "Unsupported value",
                "FieldValueDuplicate" => "Duplicate value",
                _ => "Invalid value",
            };
            let found = errors(&reading).iter().any(|problem| {
                problem.field == expected["field"].as_str().unwrap() && problem.message.starts_with(message)
            });
            assert!(found, "{}: {expected} is not among {:?}", case["id"], errors(&reading));
        }
        let stated = case["errors"].as_array().unwrap();
        for field in told {
            assert!(
                stated.iter().any(|error| error["field"] == field),
                "{}: {field} is too much",
                case["id"]
            );
        }
    }
}

#[test]
fn every_valid_daemon_set_and_node_is_accepted() {
    let Some(path) = shared("cases/placement/cases.jsonl") else { return };
    for case in lines(&path) {
        for object in ["daemonset", "node"] {
            let reading = read(Path::new("case.json"), case[object].to_string().as_bytes());
            assert!(reading.problems.is_empty(), "{}: {:?}", case["id"], reading.problems);
            assert_eq!(reading.objects.len(), 1, "{}", case["id"]);
        }
    }
}

#[test]
fn manifests_as_vendors_publish_them_are_read() {
    let Some(folder) = shared("corpus") else { return };
    let mut seen = 0;
    for folder in [folder.clone(), folder.join("seeds"), folder.join("legacy-api")] {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            seen += 1;
            let reading = read(&path, &fs::read(&path).unwrap());
            let name = path.file_stem().unwrap().to_str().unwrap();
            let told: Vec<_> = errors(&reading).iter().map(ToString::to_string).collect();
            let expected: &[&str] = match name {
                "jaeger-agent" => &["write `apiVersion: apps/v1`"],
                "nfs-ephemeral-example" => &["persistent volumes need an API server"],
                _ => &[],
            };
            assert_eq!(told.len(), expected.len(), "{name}: {told:#?}");
            for (told, expected) in told.iter().zip(expected) {
                assert!(told.contains(expected), "{name}: {told}");
            }
            for warning in reading.problems.iter().filter(|p| p.severity == Severity::Warning) {
                println!("{warning}");
            }
        }
    }
    assert!(seen >= 50, "only {seen} files");
}

#[test]
fn what_a_kubelet_ran_is_accepted() {
    let Some(folder) = shared("cases/cri") else { return };
    let mut seen = 0;
    let cases = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("daemonset.yaml"));
    for path in cases.filter(|path| path.is_file()) {
        seen += 1;
        let reading = read(&path, &fs::read(&path).unwrap());
        let told: Vec<_> = errors(&reading).iter().map(|problem| problem.message.as_str()).collect();
        // This one has no selector, which a static pod doesn't need and a DaemonSet does.
        let faults = usize::from(path.ends_with("jaeger-agent/daemonset.yaml"));
        assert_eq!(told.len(), faults, "{}: {told:?}", path.display());
        assert!(told.iter().all(|message| message.ends_with("spec.selector is missing")), "{told:?}");
    }
    assert!(seen >= 50, "only {seen} files");
}
