//! `node.yaml` written by daemonlet itself, for a client of the API.
//!
//! The comment at its top stays; others, and the way it was laid out, don't. A file that isn't good is left to whoever broke it, and one that
//! is a symbolic link stays one.

use std::error::Error as _;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use k8s_openapi::api::core::v1::Node;
use thiserror::Error;

use super::edit::{Edit, edited};
use super::file::interpret;
use super::{NodeFiles, NodeName};
use crate::atomic_file::{self, AtomicFileError};

const NEW_FILE_MODE: u32 = 0o644;

/// Why the node can't be changed.
#[derive(Debug, Error)]
pub enum RewriteError {
    /// What is wanted isn't `node.yaml`'s to say, or no node can be so.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// What is there is no good, and must not be overwritten.
    #[error("{path} has errors; correct them first: {problem}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// The first of them.
        problem: String,
    },
    /// The file can't be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file can't be written.
    #[error("cannot write {path}: {error}{}", error.source().map(|it| format!(": {it}")).unwrap_or_default())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: AtomicFileError,
    },
}

/// Has `node.yaml` say what is wanted. `shown` is the node as clients see it.
///
/// # Errors
/// When it can't be said there, or the file can't be read or written. It is then as it was.
pub fn rewrite(
    files: &NodeFiles,
    name: &NodeName,
    store: Option<&Node>,
    shown: &Node,
    edit: &Edit,
) -> Result<(), RewriteError> {
    // The file that a link leads to is replaced, not the link.
    let path = fs::canonicalize(&files.file).unwrap_or_else(|_| files.file.clone());
    let (old, mode) = present(&path)?;
    // A file that is gone rules by the copy of its last good content; so it is edited.
    let old = old.or_else(|| fs::read(&files.last_good).ok());
    let shared: Arc<Path> = Arc::from(path.as_path());
    let read = |bytes: &[u8]| {
        interpret(&shared, bytes, name)
            .map(|(node, _)| node)
            .map_err(|problems| problems.first().map(ToString::to_string).unwrap_or_default())
    };
    let file = old.as_deref().map(read).transpose();
    let file = file.map_err(|problem| RewriteError::Broken { path: path.clone(), problem })?;
    let node = edited(name, file.as_ref(), store, shown, edit).map_err(RewriteError::Refused)?;
    let text = top_comment(old.as_deref().unwrap_or_default()) + &yaml(&node)?;
    // What would be refused when it is read must not be written.
    read(text.as_bytes()).map_err(|problem| RewriteError::Refused(vec![problem]))?;
    atomic_file::write(&path, text.as_bytes(), mode).map_err(|error| RewriteError::Write { path, error })
}

fn present(path: &Path) -> Result<(Option<Vec<u8>>, u32), RewriteError> {
    let failed = |source| RewriteError::Read { path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(metadata) => Ok((Some(fs::read(path).map_err(failed)?), metadata.permissions().mode() & 0o7777)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((None, NEW_FILE_MODE)),
        Err(error) => Err(failed(error)),
    }
}

/// The lines before the first that says anything.
fn top_comment(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let is_comment = |line: &&str| line.trim_start().starts_with('#') || line.trim().is_empty();
    text.lines().take_while(is_comment).flat_map(|line| [line, "\n"]).collect()
}

fn yaml(node: &Node) -> Result<String, RewriteError> {
    let mut value =
        serde_json::to_value(node).map_err(|error| RewriteError::Refused(vec![error.to_string()]))?;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, field| field.as_object().is_none_or(|field| !field.is_empty()));
    }
    let mut text = String::new();
    serde_saphyr::to_fmt_writer(&mut text, &value)
        .map_err(|error| RewriteError::Refused(vec![error.to_string()]))?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::{Value, json};

    use super::*;

    fn rewritten(folder: &Path, patch: Value) -> Result<String, String> {
        let files = NodeFiles { file: folder.join("node.yaml"), last_good: folder.join("copy.json") };
        let edit = Edit::of_patch(&patch).unwrap();
        let shown = Node::default();
        rewrite(&files, &"edge-1".parse().unwrap(), None, &shown, &edit)
            .map_err(|error| error.to_string())?;
        Ok(fs::read_to_string(files.file).unwrap())
    }

    #[test]
    fn a_node_nobody_described_gets_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let text = rewritten(folder.path(), json!({"metadata": {"labels": {"disk": "yes"}}})).unwrap();
        assert_eq!(
            text,
            "apiVersion: v1\nkind: Node\nmetadata:\n  labels:\n    disk: \"yes\"\n  name: edge-1\n"
        );
    }

    #[test]
    fn the_comment_at_the_top_the_mode_and_a_link_stay() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("real.yaml");
        let text =
            "# Rack 7.\n\n# Ask Ada.\napiVersion: v1\nkind: Node # this one\nmetadata: {name: edge-1}\n";
        fs::write(&target, text).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.yaml", folder.path().join("node.yaml")).unwrap();
        let text = rewritten(folder.path(), json!({"spec": {"unschedulable": true}})).unwrap();
        assert_eq!(
            text,
            "# Rack 7.\n\n# Ask Ada.\napiVersion: v1\nkind: Node\nmetadata:\n  name: edge-1\nspec:\n  unschedulable: true\n"
        );
        assert!(fs::symlink_metadata(folder.path().join("node.yaml")).unwrap().is_symlink());
        assert_eq!(fs::metadata(target).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_broken_file_and_a_bad_wish_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.yaml");
        for (wish, field) in [
            (json!({"metadata": {"labels": {"a": "not a value"}}}), "metadata.labels"),
            (json!({"spec": {"taints": [{"key": "a"}]}}), "taints[0].effect"),
        ] {
            let problem = rewritten(folder.path(), wish).unwrap_err();
            assert!(problem.contains(field), "{problem}");
        }
        assert!(!path.exists());
        fs::write(&path, "kind: Node\nmetadata: {name: other}\napiVersion: v1\n").unwrap();
        let problem = rewritten(folder.path(), json!({"spec": {"unschedulable": true}})).unwrap_err();
        assert!(problem.contains("has errors; correct them first"), "{problem}");
        assert!(fs::read_to_string(&path).unwrap().contains("other"));
    }

    #[test]
    fn a_file_that_is_gone_is_edited_from_its_last_good_copy() {
        let folder = tempfile::tempdir().unwrap();
        let copy = "apiVersion: v1\nkind: Node\nmetadata: {name: edge-1, labels: {rack: a}}\n";
        fs::write(folder.path().join("copy.json"), copy).unwrap();
        let text = rewritten(folder.path(), json!({"metadata": {"labels": {"disk": "ssd"}}})).unwrap();
        assert!(text.contains("rack: a") && text.contains("disk: ssd"), "{text}");
    }
}
