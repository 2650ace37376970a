//! What a test has left on the machine: to find it, and to remove it.
//!
//! Nothing here asks containerd or the agent, so it works after both were killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::slot::{MARK, Slot};

const CGROUPS: &str = "/sys/fs/cgroup";
const CNI_RESULTS: &str = "/var/lib/cni/results";

/// Everything that is left of a test, a line each.
pub(crate) fn find(slot: &Slot) -> Vec<String> {
    let mut left = outside(slot);
    left.extend(slot.dir().exists().then(|| format!("file {}", slot.dir().display())));
    left
}

/// What is left of a test outside its directory. Its mounts count as outside: they are the host's.
pub(crate) fn outside(slot: &Slot) -> Vec<String> {
    let mut left = Vec::new();
    left.extend(processes(slot).into_iter().map(|pid| format!("process {pid}: {}", command_line(pid))));
    left.extend(mounts(slot.dir()).into_iter().map(|path| format!("mount {}", path.display())));
    left.extend(cgroups(&slot.network()).into_iter().map(|path| format!("cgroup {}", path.display())));
    left.extend(link(slot).map(|name| format!("link {name}")));
    left.extend(cni_results(slot).into_iter().map(|path| format!("file {}", path.display())));
    left.extend(shim_sockets(slot).into_iter().map(|path| format!("socket {}", path.display())));
    left
}

/// Removes everything of a test by force.
pub(crate) fn reap(slot: &Slot) {
    let sockets = shim_sockets(slot);
    for _ in 0..100 {
        let processes = processes(slot);
        if processes.is_empty() {
            break;
        }
        for pid in processes {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for socket in sockets {
        let _ = fs::remove_file(socket);
    }
    // The ones mounted last lie on top of the others.
    for path in mounts(slot.dir()).iter().rev() {
        let _ = umount2(path, MntFlags::MNT_DETACH);
    }
    if link(slot).is_some() {
        let _ = Command::new("ip").args(["link", "delete", &slot.bridge()]).output();
    }
    for path in cni_results(slot) {
        let _ = fs::remove_file(path);
    }
    for _ in 0..50 {
        let cgroups = cgroups(&slot.network());
        if cgroups.iter().filter(|path| fs::remove_dir(path).is_err()).count() == 0 {
            break;
        }
        // A cgroup is busy until the kernel has done with its last process.
        std::thread::sleep(Duration::from_millis(20));
    }
    // Below a mount that stays there are files of the host.
    if mounts(slot.dir()).is_empty() {
        let _ = fs::remove_dir_all(slot.dir());
    }
}

/// Processes that carry the test's mark or run in its cgroups.
pub(crate) fn processes(slot: &Slot) -> Vec<i32> {
    let mark = format!("{MARK}={}", slot.dir().display()).into_bytes();
    let name = slot.network();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let is_ours = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark) {
            return true;
        }
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        cgroups.lines().any(|line| line.split(['/', ':']).any(|part| part == name))
    };
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
}

fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Mount points below a directory, in the order in which they were mounted.
pub(crate) fn mounts(below: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(below)).collect()
}

/// The cgroups in all hierarchies that are named so, and those in them; the innermost first.
pub(crate) fn cgroups(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let hierarchies = fs::read_dir(CGROUPS).into_iter().flatten().flatten().map(|entry| entry.path());
    for root in hierarchies.chain([PathBuf::from(CGROUPS)]) {
        collect(&root.join(name), &mut found);
    }
    found
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    if !directory.is_dir() {
        return;
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found);
        }
    }
    found.push(directory.to_owned());
}

fn link(slot: &Slot) -> Option<String> {
    let name = slot.bridge();
    Path::new("/sys/class/net").join(&name).exists().then_some(name)
}

/// What CNI remembers of the test's sandboxes, which it does in one place for everybody. The loopback is every sandbox's own
/// network, so it goes by the sandbox's id.
fn cni_results(slot: &Slot) -> Vec<PathBuf> {
    let prefix = format!("{}-", slot.network());
    let sandboxes = fs::read_dir(slot.path("lib/io.containerd.grpc.v1.cri/sandboxes"));
    let names = sandboxes.into_iter().flatten().flatten().map(|entry| entry.file_name());
    let ids: Vec<String> = names.map(|name| format!("-{}-", name.to_string_lossy())).collect();
    let is_ours = |name: &str| name.starts_with(&prefix) || ids.iter().any(|id| name.contains(id));
    let entries = fs::read_dir(CNI_RESULTS).into_iter().flatten().flatten();
    entries.filter(|entry| is_ours(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect()
}

/// The sockets of the test's shims, which are not in its directory.
fn shim_sockets(slot: &Slot) -> Vec<PathBuf> {
    let tasks = slot.path("run/io.containerd.runtime.v2.task/k8s.io");
    let bundles = fs::read_dir(tasks).into_iter().flatten().flatten();
    let addresses = bundles.filter_map(|bundle| fs::read_to_string(bundle.path().join("address")).ok());
    let paths = addresses.filter_map(|address| address.trim().strip_prefix("unix://").map(PathBuf::from));
    paths.filter(|path| path.exists()).collect()
}
