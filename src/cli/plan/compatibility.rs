//! `docs/compatibility.md` beside what `validate` and `plan` make of the upstream manifests in `corpus` of the folder that
//! `DAEMONLET_SHARED` names.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::document;
use crate::agent::offline::OfflineNode;
use crate::cri::json::Printer;
use crate::cri::translate::Host;
use crate::manifest::Severity;
use crate::store::{Source, survey};

const ENV: &str = "DAEMONLET_SHARED";

#[test]
fn every_upstream_manifest_fares_as_the_compatibility_table_says() {
    let Some(folder) = std::env::var_os(ENV).map(|folder| PathBuf::from(folder).join("corpus")) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {ENV} names no folder with a corpus");
        return;
    };
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
    let table = fs::read_to_string(table).unwrap_or_default();
    let mut wrong = Vec::new();
    let files: Vec<PathBuf> =
        ["", "seeds", "legacy-api"].iter().flat_map(|below| manifests(&folder.join(below))).collect();
    for file in &files {
        let name = file.strip_prefix(&folder).unwrap().display().to_string();
        let (start, end) = (format!("| `{name}` |"), outcome(file));
        if !table.lines().any(|line| line.starts_with(&start) && line.ends_with(&end)) {
            wrong.push(format!("{start} UPSTREAM {end}"));
        }
    }
    assert!(!files.is_empty(), "no manifest below {}", folder.display());
    assert!(wrong.is_empty(), "docs/compatibility.md lacks these lines:\n{}", wrong.join("\n"));
}

fn manifests(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    found.sort();
    found
}

/// The last two cells: what `validate` says, and what `plan` does.
fn outcome(file: &Path) -> String {
    let found = survey(&[Source::Content(Path::new("manifest").into(), fs::read(file).unwrap())]);
    let told = |severity: Severity| -> Vec<String> {
        let problems = found.problems.iter().filter(|problem| problem.severity == severity);
        problems.map(|problem| format!("`{}`: {}", problem.field, problem.message)).collect()
    };
    let (errors, warnings) = (told(Severity::Error), told(Severity::Warning));
    let daemon_sets: Vec<_> = found.objects.daemon_sets().collect();
    let mut validated = match (errors.as_slice(), daemon_sets.len()) {
        ([], 1) => "accepted, 1 DaemonSet".to_owned(),
        ([], several) => format!("accepted, {several} DaemonSets"),
        (errors, _) => format!("refused: {}", errors.join("; ")),
    };
    for warning in warnings {
        validated.push_str(&format!("; warning: {warning}"));
    }
    let (node, printer) = (node(), Printer::new().unwrap());
    let mut problems = Vec::new();
    for daemon_set in &daemon_sets {
        let planned = document::plan(daemon_set, &node, &found.objects, &printer).unwrap();
        problems.extend(planned.problems.into_iter().map(|(_, message)| message));
    }
    // A volume that can't be made is told once, not again by each container.
    problems.retain(|message| !message.starts_with("cannot find volume"));
    let planned = match (daemon_sets.len(), problems.len()) {
        (0, _) => "–".to_owned(),
        (_, 0) => "planned".to_owned(),
        _ => format!("needs what is not in the file: {}", problems.join("; ")),
    };
    format!("| {} | {} |", validated.replace('|', "\\|"), planned.replace('|', "\\|"))
}

fn node() -> OfflineNode {
    let node = serde_json::json!({"metadata": {"name": "node-1", "labels": {"kubernetes.io/os": "linux"}}});
    let amount = |text: &str| Quantity(text.to_owned());
    OfflineNode {
        node: serde_json::from_value(node).unwrap(),
        host: Host::for_tests(),
        allocatable: BTreeMap::from([("cpu".to_owned(), amount("2")), ("memory".to_owned(), amount("7Gi"))]),
    }
}
