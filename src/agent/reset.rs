//! The node leaves: what the agent keeps on the disk goes, once no pod of it is left.
//!
//! Pods are never ended here, and nothing below a pod's directory is ever removed: a volume may be mounted there. Whoever wants to leave drains
//! the node first, which an agent does properly.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::lock::{LockError, StateLock};
use crate::bundle::keep;
use crate::state_dir::StateEntry;

/// Where pods are on record, and where their volumes are: empty once all are gone.
const OF_PODS: [&str; 2] = [StateEntry::Records.name(), "pods"];

/// Why the state can't be removed.
#[derive(Debug, Error)]
pub enum ResetError {
    /// An agent runs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There are pods.
    #[error(
        "{dir} still holds {pods} pods: start the agent and let `daemonlet drain --delete-daemonset-pods` end them"
    )]
    Pods {
        /// Where they are.
        dir: PathBuf,
        /// How many.
        pods: usize,
    },
    /// Something can't be listed.
    #[error("list {path}")]
    List {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something can't be removed.
    #[error("remove {path}")]
    Remove {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What [`reset`] would remove. Seccomp profiles in the state directory are the operator's. In the folder of archives that is what bundles have left there; the others are the operator's.
///
/// # Errors
/// When an agent runs, or pods are left.
pub fn removable(root_dir: &Path, archives: &Path) -> Result<Vec<PathBuf>, ResetError> {
    if !root_dir.exists() {
        return Ok(Vec::new());
    }
    let _lock = StateLock::take(root_dir)?;
    look(root_dir, archives)
}

/// Removes what the agent keeps on the disk, and returns what that was.
///
/// # Errors
/// When an agent runs, pods are left, or something can't be removed. What is gone by then stays gone.
pub fn reset(root_dir: &Path, archives: &Path) -> Result<Vec<PathBuf>, ResetError> {
    if !root_dir.exists() {
        return Ok(Vec::new());
    }
    let _lock = StateLock::take(root_dir)?;
    let found = look(root_dir, archives)?;
    for path in &found {
        let is_dir = fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
        let removed = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.map_err(|source| ResetError::Remove { path: path.clone(), source })?;
    }
    Ok(found)
}

fn look(root_dir: &Path, archives: &Path) -> Result<Vec<PathBuf>, ResetError> {
    for name in OF_PODS {
        let dir = root_dir.join(name);
        let pods = match fs::read_dir(&dir) {
            Ok(entries) => entries.flatten().filter(is_of_a_pod).count(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(source) => return Err(ResetError::List { path: dir, source }),
        };
        if pods > 0 {
            return Err(ResetError::Pods { dir, pods });
        }
    }
    let kept = StateEntry::ALL
        .map(|kept| kept.below(root_dir))
        .into_iter()
        .filter(|path| path.symlink_metadata().is_ok());
    Ok(kept.chain(keep::kept(archives).into_iter().map(|(path, _)| path)).collect())
}

/// Half-written files begin with a dot.
fn is_of_a_pod(entry: &fs::DirEntry) -> bool {
    !entry.file_name().as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_waits_for_pods_and_the_agent_and_leaves_what_is_the_operators() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let archives = &root.join("images");
        for dir in ["records", "pods/a-uid/volumes", "daemonsets", "seccomp", "images"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        let of_bundle = format!("images/bundle-sha256-{}.tar", "0".repeat(64));
        let files = [
            "taints.json",
            "first-seen.json",
            "node.json",
            "holds.json",
            "daemonsets/x.json",
            "seccomp/mine.json",
            "images/bundle-mine.tar",
        ];
        for file in files.into_iter().chain([of_bundle.as_str()]) {
            fs::write(root.join(file), "{}").unwrap();
        }
        assert!(matches!(reset(root, archives), Err(ResetError::Pods { pods: 1, .. })));
        fs::remove_dir_all(root.join("pods/a-uid")).unwrap();
        fs::write(root.join("records/a-uid.json"), "{}").unwrap();
        assert!(matches!(removable(root, archives), Err(ResetError::Pods { pods: 1, .. })));
        fs::remove_file(root.join("records/a-uid.json")).unwrap();
        let running = StateLock::take(root).unwrap();
        assert!(matches!(reset(root, archives), Err(ResetError::Lock(LockError::Held { .. }))));
        drop(running);
        let named = removable(root, archives).unwrap();
        assert!(root.join("taints.json").exists(), "to ask removes nothing");
        assert_eq!(reset(root, archives).unwrap(), named);
        let mut left: Vec<_> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["images", "lock", "pods", "seccomp"]);
        assert!(archives.join("bundle-mine.tar").exists() && !root.join(of_bundle).exists());
        assert!(root.join("seccomp/mine.json").exists());
        assert_eq!(reset(&root.join("nowhere"), archives).unwrap(), Vec::<PathBuf>::new());
    }
}
