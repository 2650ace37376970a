//! Where container logs lie: the kubelet's layout, which log collectors read.
//!
//! Names only; nothing is looked up or made here. The kubelet's rules are in `kuberuntime/legacy.go` and `helpers.go`. Namespaces, pod
//! and container names hold no `_` and no `/`, so that these names can be taken apart again.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

/// Where pods' log directories are.
pub const POD_LOGS: &str = "/var/log/pods";

/// Where a link to each container's log is, under a name that tells all about it.
pub const CONTAINER_LINKS: &str = "/var/log/containers";

/// The longest file name that Linux file systems take, in bytes.
const LONGEST_NAME: usize = 255;

const SUFFIX: &str = ".log";

/// Whose log directory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOwner<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// The pod's UID.
    pub uid: &'a str,
}

impl<'a> LogOwner<'a> {
    /// The pod as whose the log directory is named.
    pub fn of(pod: &'a Pod) -> Self {
        let metadata = &pod.metadata;
        Self {
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            pod: metadata.name.as_deref().unwrap_or_default(),
            uid: metadata.uid.as_deref().unwrap_or_default(),
        }
    }

    /// The pod's log directory under `root`: the CRI's `log_directory`.
    pub fn directory(&self, root: &Path) -> PathBuf {
        root.join(self.directory_name())
    }

    /// The name of the pod's log directory.
    pub fn directory_name(&self) -> String {
        format!("{}_{}_{}", self.namespace, self.pod, self.uid)
    }

    /// Reads the name of a log directory; none if it is not of this shape.
    pub fn from_directory_name(name: &'a str) -> Option<Self> {
        let mut parts = name.split('_');
        let owner = Self { namespace: parts.next()?, pod: parts.next()?, uid: parts.next()? };
        let whole = [owner.namespace, owner.pod, owner.uid].iter().all(|part| !part.is_empty());
        (whole && parts.next().is_none()).then_some(owner)
    }

    /// The name of the link in [`CONTAINER_LINKS`] to a container's log, cut to what a file system takes.
    pub fn link_name(&self, container: &str, container_id: &str) -> String {
        let mut name = format!("{}_{}_{container}-{container_id}", self.pod, self.namespace);
        while name.len() > LONGEST_NAME - SUFFIX.len() {
            name.pop();
        }
        name + SUFFIX
    }
}

/// A container's log file beneath its pod's log directory: the CRI's `log_path`. All attempts share a directory.
pub fn log_path(container: &str, attempt: u32) -> String {
    format!("{container}/{attempt}{SUFFIX}")
}

/// The container's id in the name of a link, or as much of it as was not cut; none if it is no such name.
pub fn container_id_of_link(name: &str) -> Option<&str> {
    let (_, id) = name.strip_suffix(SUFFIX)?.rsplit_once('-')?;
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: LogOwner<'_> =
        LogOwner { namespace: "kube-system", pod: "node-exporter-x2", uid: "1234-ab" };

    #[test]
    fn files_lie_where_a_kubelet_puts_them() {
        let directory = OWNER.directory(Path::new(POD_LOGS));
        assert_eq!(directory, Path::new("/var/log/pods/kube-system_node-exporter-x2_1234-ab"));
        assert_eq!(log_path("main", 3), "main/3.log");
        assert_eq!(OWNER.link_name("main", "cafe01"), "node-exporter-x2_kube-system_main-cafe01.log");
    }

    #[test]
    fn a_long_link_name_is_cut_but_keeps_its_ending() {
        let pod = "p".repeat(200);
        let owner = LogOwner { pod: &pod, ..OWNER };
        let name = owner.link_name("main", &"c".repeat(64));
        assert_eq!(name.len(), 255);
        assert!(name.ends_with("c.log") && name.contains("_kube-system_main-c"));
        let fits = LogOwner { pod: "p", namespace: "n", uid: "u" }.link_name("c", &"i".repeat(245));
        assert_eq!(fits.len(), 255);
        assert!(fits.starts_with("p_n_c-i"), "nothing was cut");
    }

    #[test]
    fn names_can_be_taken_apart_again() {
        assert_eq!(LogOwner::from_directory_name("kube-system_node-exporter-x2_1234-ab"), Some(OWNER));
        for name in ["", "a_b", "a_b_", "a_b_c_d", "lost+found"] {
            assert_eq!(LogOwner::from_directory_name(name), None, "{name}");
        }
        assert_eq!(container_id_of_link("node-exporter-x2_kube-system_main-cafe01.log"), Some("cafe01"));
        for name in ["", "x.log", "a_b_c-.log", "a_b_c-1.txt"] {
            assert_eq!(container_id_of_link(name), None, "{name}");
        }
    }
}
