//! Empties a pod's cgroup of processes and removes it with what lies below. Rule: `pkg/kubelet/cm/pod_container_manager_linux.go`.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;

use super::manager::{At, CgroupError};

/// How often processes are killed, or a removal is tried.
const TRIES: u32 = 5;
/// How long the first try waits for the kernel to let go; each further one twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// Kills every process in these cgroups (one pod's, in each tree) and below them.
pub(super) fn kill(dirs: &[PathBuf]) -> Result<(), CgroupError> {
    for attempt in 0..TRIES {
        let pids = processes(dirs)?;
        if pids.is_empty() {
            return Ok(());
        }
        // cgroup v2 since Linux 5.14 kills the whole tree at once: no fork gets away, no number is used again meanwhile. Beside the
        // trees of version 1 it may hold fewer processes than they do.
        let at_once = matches!(dirs, [dir] if kill_at_once(dir).is_ok());
        if !at_once {
            // 0 stands for a process of another PID namespace, which has no number here.
            let known = pids.into_iter().filter(|pid| *pid > 1 && *pid != Pid::this().as_raw());
            for pid in known {
                match send(Pid::from_raw(pid), Signal::SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(error) => {
                        let path = PathBuf::from(format!("/proc/{pid}"));
                        return Err(io::Error::from(error)).at("kill", &path);
                    }
                }
            }
        }
        thread::sleep(FIRST_WAIT * 2_u32.pow(attempt));
    }
    let pids = processes(dirs)?;
    let path = dirs.first().cloned().unwrap_or_default();
    if pids.is_empty() { Ok(()) } else { Err(CgroupError::Alive { path, pids: pids.into_iter().collect() }) }
}

fn kill_at_once(dir: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(dir.join("cgroup.kill"))?.write_all(b"1")
}

/// Removes these cgroups and those below them, the innermost first.
pub(super) fn remove(dirs: &[PathBuf]) -> Result<(), CgroupError> {
    for dir in dirs.iter().flat_map(|dir| tree(dir).into_iter().rev()) {
        let mut attempt = 0;
        loop {
            match fs::remove_dir(&dir) {
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                // A process that has just died may still be counted.
                Err(error) if error.kind() == ErrorKind::ResourceBusy && attempt < TRIES => {
                    thread::sleep(FIRST_WAIT * 2_u32.pow(attempt));
                    attempt += 1;
                }
                other => {
                    other.at("remove cgroup", &dir)?;
                    break;
                }
            }
        }
    }
    Ok(())
}

/// The processes in these cgroups and below.
fn processes(dirs: &[PathBuf]) -> Result<BTreeSet<i32>, CgroupError> {
    let mut pids = BTreeSet::new();
    for dir in dirs.iter().flat_map(|dir| tree(dir)) {
        let path = dir.join("cgroup.procs");
        match fs::read_to_string(&path) {
            Ok(text) => pids.extend(text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok())),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error).at("read", &path),
        }
    }
    Ok(pids)
}

/// A cgroup that is removed while it is read answers so.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ENODEV as i32)
}

/// The cgroup and all below it, parents first; those that can't be listed are gone.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(dir) = found.get(next) {
        let children: Vec<PathBuf> = fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        found.extend(children);
        next += 1;
    }
    found
}
