//! `daemonlet explain`: why a DaemonSet runs on a node, or doesn't.
//!
//! Offline (`-f FILE --node NODE.yaml`) the node is exactly what its file says: nothing of this host is added, so that the answer
//! holds for any node anywhere.

mod command;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;

pub(super) use self::command::{ExplainArgs, run};
use crate::manifest::{self, MAX_FILE_BYTES, Object, Problem, Severity};
use crate::placement::{Explanation, Outcome};

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
    let mut explanations = Vec::new();
    for file in files {
        let reading = manifest::read(file, &bytes_of(file)?);
        problems.extend(reading.problems);
        let daemon_sets = reading.objects.iter().filter_map(|stored| match &stored.object {
            Object::DaemonSet(daemon_set) => Some(daemon_set.as_ref()),
            _ => None,
        });
        explanations.extend(daemon_sets.map(|daemon_set: &DaemonSet| Explanation::of(&node, daemon_set)));
    }
    if explanations.is_empty() {
        return Err(ExplainError::NoDaemonSet { problems });
    }
    Ok(Offline { text: render(&explanations, output)?, problems })
}

/// Shows explanations: as sentences, or as JSON (one object for one, an array for several).
///
/// # Errors
/// When they can't be written as JSON.
pub fn render(explanations: &[Explanation], output: Output) -> Result<String, serde_json::Error> {
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

fn sentences(explanation: &Explanation) -> String {
    let Explanation { daemon_set, node, reasons, .. } = explanation;
    let outcome = match explanation.outcome() {
        Outcome::Run => "runs",
        Outcome::Stay => "starts no pod but may keep one",
        Outcome::Gone => "does not run",
    };
    let mut text = format!("DaemonSet {daemon_set} {outcome} on node {node}:\n");
    for reason in reasons {
        text.push_str("  - ");
        text.push_str(reason);
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
