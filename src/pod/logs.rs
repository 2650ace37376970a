//! The logs that a pod leaves on disk: its log directory, and the links in the folder where log collectors look.
//!
//! Everything here blocks. A link is read, never followed, and belongs to the pod whose log directory it points into; a log directory is removed
//! without leaving the mount that it lies on. Rule: `evictPodLogsDirectories` of `pkg/kubelet/kuberuntime/kuberuntime_gc.go`.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::cri::log_path::LogOwner;
use crate::volume::{RemoveError, remove_dir};

/// A link to a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its own name.
    pub name: String,
    /// The name of the log directory that it points into.
    pub directory: String,
}

/// Why logs are still there, or it can't be known which there are.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// A folder can't be listed.
    #[error("list {}", dir.display())]
    List {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A link can't be removed.
    #[error("remove {}", path.display())]
    Unlink {
        /// The link.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A log directory can't be removed.
    #[error("remove the log directory {directory}")]
    Directory {
        /// Its name.
        directory: String,
        /// Why.
        source: RemoveError,
    },
}

/// The names of the log directories of pods, ours and a kubelet's.
pub fn directories(pod_logs: &Path) -> Result<Vec<String>, LogsError> {
    let names = names(pod_logs)?;
    Ok(names.into_iter().filter(|name| LogOwner::from_directory_name(name).is_some()).collect())
}

/// The links in `links_dir` that point into a pod's log directory below `pod_logs`, whether that is there or not.
pub fn links(links_dir: &Path, pod_logs: &Path) -> Result<Vec<Link>, LogsError> {
    let mut links = Vec::new();
    for name in names(links_dir)? {
        // What is no link, or gone meanwhile, can't be read as one.
        let Ok(target) = fs::read_link(links_dir.join(&name)) else { continue };
        if let Some(directory) = directory_of(&target, pod_logs) {
            links.push(Link { name, directory });
        }
    }
    Ok(links)
}

/// Removes a link; one that isn't there counts as removed. Anything else of that name stays.
pub fn remove_link(links_dir: &Path, name: &str) -> Result<(), LogsError> {
    let path = links_dir.join(name);
    if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
        return Ok(());
    }
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(LogsError::Unlink { path, source }),
        _ => Ok(()),
    }
}

/// Removes a pod's log directory, which may be gone already.
pub fn remove_directory(pod_logs: &Path, directory: &str) -> Result<(), LogsError> {
    let failed = |source| LogsError::Directory { directory: directory.to_owned(), source };
    remove_dir(pod_logs, directory.as_ref()).map_err(failed)
}

/// Removes a pod's log directory and every link into it, also those to containers that nobody remembers.
pub fn remove_all(pod_logs: &Path, links_dir: &Path, directory: &str) -> Result<(), LogsError> {
    for link in links(links_dir, pod_logs)? {
        if link.directory == directory {
            remove_link(links_dir, &link.name)?;
        }
    }
    remove_directory(pod_logs, directory)
}

/// The log directory that a path leads into: the first name below `pod_logs`, if names are all that comes after it.
fn directory_of(target: &Path, pod_logs: &Path) -> Option<String> {
    let mut below = target.strip_prefix(pod_logs).ok()?.components();
    let Component::Normal(directory) = below.next()? else { return None };
    let directory = directory.to_str()?;
    let all_names = below.all(|component| matches!(component, Component::Normal(_)));
    (all_names && LogOwner::from_directory_name(directory).is_some()).then(|| directory.to_owned())
}

/// The names in a folder, none if it isn't there. Ours are all text.
fn names(dir: &Path) -> Result<Vec<String>, LogsError> {
    let failed = |source| LogsError::List { dir: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_link_belongs_to_the_log_directory_that_it_points_into() {
        let of = |target: &str| directory_of(Path::new(target), Path::new("/var/log/pods"));
        assert_eq!(of("/var/log/pods/ns_p_u/main/0.log"), Some("ns_p_u".to_owned()));
        for other in [
            "/var/log/pods",
            "/var/log/pods/",
            "/var/log/pods/x/0.log",
            "/var/log/podsx/ns_p_u/0.log",
            "/var/log/pods/../ns_p_u/0.log",
            "/var/log/pods/ns_p_u/../ns_q_v/0.log",
            "ns_p_u/main/0.log",
            "/var/lib/docker/containers/ns_p_u/0.log",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_pods_logs_go_with_their_links_and_those_of_others_stay() {
        let dir = TempDir::new().unwrap();
        let (pods, links_dir) = (dir.path().join("pods"), dir.path().join("containers"));
        for pod in ["ns_p_u", "ns_p_v"] {
            fs::create_dir_all(pods.join(pod).join("main")).unwrap();
        }
        fs::create_dir(&links_dir).unwrap();
        fs::write(links_dir.join("file.log"), "").unwrap();
        for (name, target) in [
            ("first.log", pods.join("ns_p_u/main/0.log")),
            ("second.log", pods.join("ns_p_u/main/1.log")),
            ("other.log", pods.join("ns_p_v/main/0.log")),
            ("elsewhere.log", dir.path().join("ns_p_u/main/0.log")),
        ] {
            symlink(target, links_dir.join(name)).unwrap();
        }
        assert_eq!(directories(&pods).unwrap().len(), 2);
        remove_all(&pods, &links_dir, "ns_p_u").unwrap();
        remove_all(&pods, &links_dir, "ns_p_u").unwrap();
        let mut left = names(&links_dir).unwrap();
        left.sort();
        assert_eq!(left, ["elsewhere.log", "file.log", "other.log"]);
        assert_eq!(directories(&pods).unwrap(), ["ns_p_v"]);
        remove_link(&links_dir, "file.log").unwrap();
        assert!(links_dir.join("file.log").exists(), "only links are removed as links");
    }

    #[test]
    fn a_link_in_place_of_a_log_directory_is_not_followed() {
        let dir = TempDir::new().unwrap();
        let (pods, treasure) = (dir.path().join("pods"), dir.path().join("treasure"));
        fs::create_dir(&pods).unwrap();
        fs::create_dir(&treasure).unwrap();
        fs::write(treasure.join("gold"), "gold").unwrap();
        symlink(&treasure, pods.join("ns_p_u")).unwrap();
        assert!(remove_directory(&pods, "ns_p_u").is_err());
        assert!(treasure.join("gold").exists());
    }
}
