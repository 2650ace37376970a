//! The control files by which a cgroup is told what it may do.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::manager::{At, CgroupError};

/// The controllers that pods need, as far as the kernel has them.
const V2_CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "memory", "hugetlb", "pids"];

/// Lets the controllers that pods need act in the children of a cgroup of version 2.
pub(super) fn delegate(dir: &Path) -> Result<(), CgroupError> {
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read_to_string(&path).at("read", &path)
    };
    let (offered, enabled) = (read("cgroup.controllers")?, read("cgroup.subtree_control")?);
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    for name in V2_CONTROLLERS {
        if has(&offered, name) && !has(&enabled, name) {
            write(&dir.join("cgroup.subtree_control"), &format!("+{name}"))?;
        }
    }
    Ok(())
}

/// Whether cgroups of version 1 have CPUs and memory nodes in this tree.
pub(super) fn has_cpusets(tree: &Path) -> bool {
    tree.join("cpuset.cpus").exists()
}

/// Gives a new cgroup of version 1 the CPUs and memory nodes of its parent: without any it takes no process.
pub(super) fn inherit_cpuset(parent: &Path, dir: &Path) -> Result<(), CgroupError> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (parent.join(name), dir.join(name));
        match fs::read_to_string(&to) {
            Ok(text) if text.trim().is_empty() => {
                write(&to, fs::read_to_string(&from).at("read", &from)?.trim())?;
            }
            Ok(_) => {}
            // Another controller's tree.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).at("read", &to),
        }
    }
    Ok(())
}

/// Writes a control file, unless it says so already.
pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    if fs::read_to_string(path).is_ok_and(|current| current.trim() == value) {
        return Ok(());
    }
    let written =
        OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|source| CgroupError::Write { value: value.to_owned(), path: path.to_owned(), source })
}
