//! `node.yaml`: the Node object that an operator writes for this node, and the last good one.
//!
//! No file means a node nobody described. A file that can't be read, isn't good or names another node changes nothing: the last
//! good one stays, also over a restart of the agent, for which a copy is kept in the state directory.

use std::error::Error as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use k8s_openapi::api::core::v1::Node;

use super::NodeName;
use crate::atomic_file;
use crate::manifest::{self, MAX_FILE_BYTES, Object, Problem, Severity};

const COPY_MODE: u32 = 0o600;

/// The name that a file gives to the node it lies on, whatever that is called: one file for a whole fleet, and the one that a package brings.
pub const THIS_NODE: &str = "localhost";

/// The file, the copy of its last good content, and the Node they make.
#[derive(Debug)]
pub(super) struct NodeFile {
    path: Arc<Path>,
    copy: PathBuf,
    name: NodeName,
    node: Option<Node>,
}

impl NodeFile {
    /// Nothing is read yet. `copy` is where the last good content is kept.
    pub(super) fn new(path: &Path, copy: PathBuf, name: NodeName) -> Self {
        Self { path: Arc::from(path), copy, name, node: None }
    }

    /// The newest good Node; `None` while nobody has described the node.
    pub(super) const fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// Reads the file again and returns all that is wrong with it.
    pub(super) fn reload(&mut self) -> Vec<Problem> {
        match self.content() {
            Ok(None) => Vec::new(),
            Ok(Some(bytes)) => match interpret(&self.path, &bytes, &self.name) {
                Ok((node, mut warnings)) => {
                    self.node = Some(node);
                    warnings.extend(self.keep(&bytes));
                    warnings
                }
                Err(problems) => self.fall_back(problems),
            },
            Err(message) => self.fall_back(vec![self.problem(Severity::Error, message)]),
        }
    }

    /// The file's bytes, `None` if nobody has written one, or why it can't be read.
    fn content(&self) -> Result<Option<Vec<u8>>, String> {
        let cannot_read = |error: &io::Error| format!("the file cannot be read: {error}");
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return self.absence(),
            Err(error) => return Err(cannot_read(&error)),
            Ok(_) => {}
        }
        // Asked before opening: a fifo would never open.
        let metadata = fs::metadata(&self.path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => "the symbolic link leads to no file".to_owned(),
            _ => cannot_read(&error),
        })?;
        if !metadata.is_file() {
            return Err("this is no regular file".to_owned());
        }
        if metadata.len() > MAX_FILE_BYTES as u64 {
            return Err(format!("the file has {} bytes, more than a manifest may have", metadata.len()));
        }
        fs::read(&self.path).map(Some).map_err(|error| cannot_read(&error))
    }

    /// Absence is never a delete: a file that has once been there and is gone may be an unmounted directory, or half an edit.
    fn absence(&self) -> Result<Option<Vec<u8>>, String> {
        if self.node.is_none() && !self.copy.exists() {
            return Ok(None);
        }
        Err("the file is gone (to run without its labels and taints, write a Node that has none)".to_owned())
    }

    fn fall_back(&mut self, mut problems: Vec<Problem>) -> Vec<Problem> {
        if self.node.is_some() {
            problems.push(self.problem(Severity::Notice, "the node stays as it was".to_owned()));
        } else if let Ok(bytes) = fs::read(&self.copy)
            && let Ok((node, _)) = interpret(&self.path, &bytes, &self.name)
        {
            self.node = Some(node);
            let message = format!("the last good version is used, from {}", self.copy.display());
            problems.push(self.problem(Severity::Notice, message));
        }
        problems
    }

    fn keep(&self, bytes: &[u8]) -> Option<Problem> {
        if fs::read(&self.copy).is_ok_and(|kept| kept == bytes) {
            return None;
        }
        let error = write_copy(&self.copy, bytes).err()?;
        let message = format!(
            "no copy can be kept at {}, so a bad file after a restart would leave the node without labels: {error}",
            self.copy.display()
        );
        Some(self.problem(Severity::Warning, message))
    }

    fn problem(&self, severity: Severity, message: String) -> Problem {
        Problem { severity, file: self.path.clone(), line: 0, field: String::new(), message, object: None }
    }
}

/// The one Node of this name in the file, with warnings.
///
/// # Errors
/// With everything that is wrong in it.
pub fn interpret(
    path: &Arc<Path>,
    bytes: &[u8],
    name: &NodeName,
) -> Result<(Node, Vec<Problem>), Vec<Problem>> {
    let reading = manifest::read(path, bytes);
    let mut problems = reading.problems;
    let error = |line, field: &str, message| Problem {
        severity: Severity::Error,
        file: path.clone(),
        line,
        field: field.to_owned(),
        message,
        object: None,
    };
    let mut nodes = Vec::new();
    for stored in reading.objects {
        let line = stored.origin.line;
        match stored.object {
            Object::Node(node) => nodes.push((line, node)),
            other => {
                problems.push(error(line, "kind", format!("{} has no place here, only a Node", other.key())));
            }
        }
    }
    for set_aside in &reading.set_aside {
        let message = format!("{} has no place here, only a Node", set_aside.kind);
        problems.push(error(set_aside.line, "kind", message));
    }
    let failed = |problems: &[Problem]| problems.iter().any(|problem| problem.severity == Severity::Error);
    if nodes.is_empty() && !failed(&problems) {
        let message = "the file holds no Node (remove the file to run without)".to_owned();
        problems.push(error(0, "", message));
    }
    for (line, node) in &mut nodes {
        if node.metadata.name.as_deref() == Some(THIS_NODE) {
            node.metadata.name = Some(name.to_string());
        }
        let found = node.metadata.name.as_deref().unwrap_or_default();
        if found != name.as_str() {
            let message = format!(
                "{found:?} is another node, this one is {name}: correct it, or set nodeName in the agent's configuration"
            );
            problems.push(error(*line, "metadata.name", message));
        }
    }
    for (line, _) in nodes.iter().skip(1) {
        problems.push(error(*line, "", "a second Node: the file describes this node alone".to_owned()));
    }
    match nodes.pop() {
        Some((_, node)) if !failed(&problems) => Ok((*node, problems)),
        _ => Err(problems),
    }
}

fn write_copy(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    }
    atomic_file::write(path, bytes, COPY_MODE).map_err(|error| {
        let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        format!("{error}{cause}")
    })
}

#[cfg(test)]
mod tests;
