//! Where the kernel's cgroup trees are mounted, and which controllers act in them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

/// The version of the interface under `/sys/fs/cgroup`. A hybrid system counts as the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// One tree a controller.
    V1,
    /// One tree for all controllers.
    #[default]
    V2,
}

impl Version {
    /// Asks what is mounted at `mount` (`/sys/fs/cgroup`).
    pub fn detect(mount: &Path) -> io::Result<Self> {
        let kind = statfs(mount)?.filesystem_type();
        Ok(if kind == CGROUP2_SUPER_MAGIC { Version::V2 } else { Version::V1 })
    }
}

/// The trees of version 1 in which a pod has a cgroup, those of the runtime's own library. `unified` is version 2 beside them, on a
/// hybrid system: runc makes the pod's cgroup there too, and nobody else would remove it.
const V1_TREES: [&str; 15] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "pids",
    "devices",
    "freezer",
    "blkio",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "systemd",
    "unified",
];

/// The tops of all trees that are mounted, each once though several controllers may share it.
pub(super) fn trees(version: Version, mount: &Path) -> io::Result<Vec<PathBuf>> {
    match version {
        Version::V2 => Ok(vec![mount.to_owned()]),
        Version::V1 => {
            let mut found = BTreeSet::new();
            for name in V1_TREES {
                found.extend(tree_of(version, mount, name)?);
            }
            Ok(found.into_iter().collect())
        }
    }
}

/// The top of the tree in which a controller acts; `None` if version 1 has none mounted.
pub(super) fn tree_of(version: Version, mount: &Path, controller: &str) -> io::Result<Option<PathBuf>> {
    if version == Version::V2 {
        return Ok(Some(mount.to_owned()));
    }
    match fs::canonicalize(mount.join(controller)) {
        // A directory that isn't a cgroup is where one would have been mounted.
        Ok(tree) => Ok(tree.join("cgroup.procs").is_file().then_some(tree)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn trees_that_share_controllers_are_found_once_and_unmounted_ones_not() {
        let mount = tempfile::tempdir().unwrap();
        let mount = fs::canonicalize(mount.path()).unwrap();
        for tree in ["cpu,cpuacct", "memory", "pids"] {
            fs::create_dir(mount.join(tree)).unwrap();
        }
        for name in ["cpu", "cpuacct"] {
            symlink("cpu,cpuacct", mount.join(name)).unwrap();
        }
        for tree in ["cpu,cpuacct", "memory"] {
            fs::write(mount.join(tree).join("cgroup.procs"), "").unwrap();
        }
        let found = trees(Version::V1, &mount).unwrap();
        assert_eq!(found, [mount.join("cpu,cpuacct"), mount.join("memory")]);
        assert_eq!(tree_of(Version::V1, &mount, "pids").unwrap(), None);
        assert_eq!(trees(Version::V2, &mount).unwrap(), [mount]);
    }
}
