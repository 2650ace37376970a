//! `daemonlet explain`: why a DaemonSet runs on a node, or doesn't.
//!
//! Offline (`-f FILE --node NODE.yaml`) the node is exactly what its file says: nothing of this host is added, so that the answer
//! holds for any node anywhere.

mod command;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use serde::Serialize;

pub(super) use self::command::{ExplainArgs, run};
use crate::manifest::{self, MAX_FILE_BYTES, Object, Objects, Problem, Severity};
use crate::placement::{Explanation, Outcome};
use crate::policy::{Judgement, Policy};

/// How explanations are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Sentences for people.
    #[default]
    Text,
    /// One object for one DaemonSet, an array for several.
    Json,
}

/// What an offline run found.
#[derive(Debug, Clone, PartialEq)]
pub struct Offline {
    /// For standard output.
    pub text: String,
    /// For standard error. With an error among them, some object of the files was left out.
    pub problems: Vec<Problem>,
}

impl Offline {
    /// Whether every object of the files could be used.
    pub fn is_complete(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity != Severity::Error)
    }
}

/// An explanation, and what the policy says of the pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// Where it is wanted, and why.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// Why the pod would not be made, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<String>,
    /// What the policy warns of, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Explained {
    fn judged(explanation: Explanation, judgement: &Judgement) -> Self {
        let warnings = judgement.warning.iter().map(|violations| format!("would violate {violations}"));
        Self {
            explanation,
            forbidden: judgement.refusals.iter().map(ToString::to_string).collect(),
            warnings: warnings.collect(),
        }
    }
}

impl From<Explanation> for Explained {
    fn from(explanation: Explanation) -> Self {
        Self::judged(explanation, &Judgement::default())
    }
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// A file can't be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Standard input can be read once only.
    #[error("standard input (-) was given twice: give one of the files by its name")]
    InputTwice,
    /// The node's file doesn't hold one good Node.
    #[error("{} must hold exactly one good Node, and has {found}{}", file.display(), list(problems))]
    NotOneNode {
        /// The file.
        file: PathBuf,
        /// How many it holds.
        found: usize,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
    /// No file holds a good DaemonSet.
    #[error("no good DaemonSet in the files given{}", list(problems))]
    NoDaemonSet {
        /// What is wrong with them.
        problems: Vec<Problem>,
    },
    /// The explanations can't be written as JSON.
    #[error("cannot write the explanations as JSON")]
    Json(#[from] serde_json::Error),
}

/// Explains every DaemonSet of `files` (`-` is standard input) on the Node of `node_file`.
///
/// # Errors
/// When a file can't be read, or there is no good DaemonSet or not exactly one good Node.
pub fn explain_offline(files: &[PathBuf], node_file: &Path, output: Output) -> Result<Offline, ExplainError> {
    let is_input = |file: &Path| file == Path::new("-");
    let given = files.iter().map(PathBuf::as_path).chain([node_file]);
    if given.filter(|file| is_input(file)).count() > 1 {
        return Err(ExplainError::InputTwice);
    }
    let (node, mut problems) = read_node(node_file)?;
    let mut read = Vec::new();
    for file in files {
        let reading = manifest::read(file, &bytes_of(file)?);
        problems.extend(reading.problems);
        read.extend(reading.objects.into_iter().map(Arc::new));
    }
    // A Namespace may be in another file than its DaemonSets.
    let objects = Objects(read.iter().map(|stored| (stored.object.key(), Arc::clone(stored))).collect());
    let daemon_sets = read.iter().filter_map(|stored| match &stored.object {
        Object::DaemonSet(daemon_set) => Some(daemon_set.as_ref()),
        _ => None,
    });
    let explained = |daemon_set: &DaemonSet| {
        let judgement = Policy::default().judge(daemon_set, &objects);
        Explained::judged(Explanation::of(&node, daemon_set), &judgement)
    };
    let explanations: Vec<Explained> = daemon_sets.map(explained).collect();
    if explanations.is_empty() {
        return Err(ExplainError::NoDaemonSet { problems });
    }
    Ok(Offline { text: render(&explanations, output)?, problems })
}

/// Shows explanations: as sentences, or as JSON (one object for one, an array for several).
///
/// # Errors
/// When they can't be written as JSON.
pub fn render(explanations: &[Explained], output: Output) -> Result<String, serde_json::Error> {
    match output {
        Output::Text => Ok(explanations.iter().map(sentences).collect::<Vec<_>>().join("\n")),
        Output::Json => {
            let json = match explanations {
                [one] => serde_json::to_string_pretty(one)?,
                several => serde_json::to_string_pretty(several)?,
            };
            Ok(json + "\n")
        }
    }
}

fn sentences(explained: &Explained) -> String {
    let Explained { explanation, forbidden, warnings } = explained;
    let Explanation { daemon_set, node, reasons, .. } = explanation;
    let outcome = match explanation.outcome() {
        Outcome::Run if !forbidden.is_empty() => "is wanted but forbidden",
        Outcome::Run => "runs",
        Outcome::Stay => "starts no pod but may keep one",
        Outcome::Gone => "does not run",
    };
    let mut text = format!("DaemonSet {daemon_set} {outcome} on node {node}:\n");
    let forbidden = forbidden.iter().map(|reason| format!("forbidden: {reason}"));
    let warnings = warnings.iter().map(|warning| format!("warning: {warning}"));
    for reason in reasons.iter().cloned().chain(forbidden).chain(warnings) {
        text.push_str("  - ");
        text.push_str(&reason);
        text.push('\n');
    }
    text
}

pub(super) fn read_node(file: &Path) -> Result<(Node, Vec<Problem>), ExplainError> {
    let reading = manifest::read(file, &bytes_of(file)?);
    let nodes = reading.objects.into_iter().filter_map(|stored| match stored.object {
        Object::Node(node) => Some(*node),
        _ => None,
    });
    let mut nodes: Vec<Node> = nodes.collect();
    match (nodes.len(), nodes.pop()) {
        (1, Some(node)) => Ok((node, reading.problems)),
        (found, _) => {
            Err(ExplainError::NotOneNode { file: file.to_owned(), found, problems: reading.problems })
        }
    }
}

fn bytes_of(file: &Path) -> Result<Vec<u8>, ExplainError> {
    // One byte more than may be read, so that the reader sees that there is more.
    let limit = MAX_FILE_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|source| ExplainError::Read { file: file.to_owned(), source })?;
    Ok(bytes)
}

fn list(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |list, problem| format!("{list}\n{problem}"))
}

#[cfg(test)]
mod tests;
