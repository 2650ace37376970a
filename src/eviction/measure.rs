//! What the node has left, and what its pods use of memory and processes: files of `/proc` and of cgroups, and `statvfs`.
//!
//! Nothing is decided here. The figures are those that a kubelet shows (cAdvisor, `pkg/kubelet/stats/pidlimit`): memory is what is left
//! beside the working set, which is what can't be given up at once: everything but file pages that were not used for a while.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::stat::stat;
use nix::sys::statvfs::statvfs;
use tracing::debug;

use super::Signal;
use super::assessment::{Observation, Observations};
use super::local_storage::Layout;
use crate::cgroup::Version;

/// Where to look on this machine.
#[derive(Debug, Clone)]
pub struct Meter {
    /// `/proc`, or a test's.
    pub proc: PathBuf,
    /// Where cgroups are mounted.
    pub cgroups: PathBuf,
    /// Their version.
    pub version: Version,
    /// The cgroup of all pods, with a leading `/`.
    pub all_pods: String,
    /// The node's memory.
    pub memory_capacity: u64,
    /// What all pods may have of it.
    pub memory_of_pods: u64,
    /// The agent's root directory.
    pub root_dir: PathBuf,
    /// A directory on the file system of the runtime's images, once it is known.
    pub image_dir: Option<PathBuf>,
    /// A directory on that of the containers' layers, once it is known.
    pub layer_dir: Option<PathBuf>,
}

impl Meter {
    /// Measures memory and processes, as far as that can be.
    pub fn observe(&self) -> Observations {
        let memory = |capacity: u64, used: Option<u64>| {
            used.map(|used| Observation { available: capacity.saturating_sub(used), capacity })
        };
        let of_pods = self.working_set(&self.all_pods);
        known([
            (Signal::MemoryAvailable, memory(self.memory_capacity, self.working_set_of_node())),
            (Signal::AllocatableMemoryAvailable, memory(self.memory_of_pods, of_pods)),
            (Signal::PidAvailable, self.pids()),
        ])
    }

    /// Measures the file systems. May hang with one of them: to be called off the agent's thread.
    pub fn disks(&self) -> Observations {
        let (node, images) = (file_system(&self.root_dir), self.image_dir.as_deref().and_then(file_system));
        let bytes = |of: Option<FileSystem>| of.map(|of| of.bytes);
        let inodes = |of: Option<FileSystem>| of.and_then(|of| of.inodes);
        known([
            (Signal::NodeFsAvailable, bytes(node)),
            (Signal::NodeFsInodesFree, inodes(node)),
            (Signal::ImageFsAvailable, bytes(images)),
            (Signal::ImageFsInodesFree, inodes(images)),
        ])
    }

    /// On which file systems things lie. May hang as well.
    pub fn layout(&self) -> Layout {
        let device = |dir: &Path| stat(dir).ok().map(|found| found.st_dev);
        let node = device(&self.root_dir);
        let images = self.image_dir.as_deref().and_then(device).or(node);
        let layers = self.layer_dir.as_deref().and_then(device).or(images);
        if images == node {
            Layout::Shared
        } else if layers == images {
            Layout::ImageFs
        } else {
            Layout::SplitImageFs
        }
    }

    /// The bytes of memory that a cgroup can't give up at once.
    pub fn working_set(&self, cgroup: &str) -> Option<u64> {
        let (usage, inactive) = match self.version {
            Version::V1 => ("memory.usage_in_bytes", "total_inactive_file"),
            Version::V2 => ("memory.current", "inactive_file"),
        };
        let dir = self.tree("memory", cgroup);
        let usage = number(&dir.join(usage))?;
        let inactive = entry(&dir.join("memory.stat"), inactive).unwrap_or(0);
        Some(usage.saturating_sub(inactive))
    }

    /// How many processes and threads a cgroup has.
    pub fn processes(&self, cgroup: &str) -> Option<u64> {
        number(&self.tree("pids", cgroup).join("pids.current"))
    }

    /// The root cgroup of version 2 has no total; there it is the sum of anonymous and file pages.
    fn working_set_of_node(&self) -> Option<u64> {
        match self.version {
            Version::V1 => self.working_set("/"),
            Version::V2 => {
                let stat = self.cgroups.join("memory.stat");
                let [anon, file, inactive] = ["anon", "file", "inactive_file"].map(|key| entry(&stat, key));
                if let (Some(anon), Some(file), Some(inactive)) = (anon, file, inactive) {
                    return Some((anon + file).saturating_sub(inactive));
                }
                // Where the memory controller is off the kernel's own totals say much the same.
                let available = entry(&self.proc.join("meminfo"), "MemAvailable:")?.saturating_mul(1024);
                Some(self.memory_capacity.saturating_sub(available))
            }
        }
    }

    fn tree(&self, controller: &str, cgroup: &str) -> PathBuf {
        let mut dir = self.cgroups.clone();
        if self.version == Version::V1 {
            dir.push(controller);
        }
        dir.join(cgroup.trim_start_matches('/'))
    }

    /// `<running>/<all>` is the fourth field of `loadavg`.
    fn pids(&self) -> Option<Observation> {
        let limits = ["pid_max", "threads-max"].map(|file| number(&self.proc.join("sys/kernel").join(file)));
        let capacity = limits.into_iter().flatten().min()?;
        let load = fs::read_to_string(self.proc.join("loadavg")).ok()?;
        let all = load.split_whitespace().nth(3)?.split_once('/')?.1.parse::<u64>().ok()?;
        Some(Observation { available: capacity.saturating_sub(all), capacity })
    }
}

fn known<const N: usize>(observed: [(Signal, Option<Observation>); N]) -> Observations {
    observed.into_iter().filter_map(|(signal, found)| Some((signal, found?))).collect()
}

/// Room and inodes of a file system; some have no number of inodes that they could run out of.
#[derive(Debug, Clone, Copy)]
struct FileSystem {
    bytes: Observation,
    inodes: Option<Observation>,
}

fn file_system(dir: &Path) -> Option<FileSystem> {
    let found = statvfs(dir)
        .inspect_err(|error| debug!(dir = %dir.display(), %error, "cannot look at the file system"))
        .ok()?;
    let block = found.fragment_size();
    let bytes = Observation { available: found.blocks_available() * block, capacity: found.blocks() * block };
    let inodes = Observation { available: found.files_free(), capacity: found.files() };
    Some(FileSystem { bytes, inodes: (inodes.capacity > 0).then_some(inodes) })
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The number after a word at the beginning of a line.
fn entry(file: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let mut words = text.lines().map(str::split_whitespace);
    words.find_map(|mut line| (line.next() == Some(key)).then(|| line.next()?.parse().ok()).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(dir: &Path, version: Version) -> Meter {
        let files = [
            ("proc/loadavg", "0.10 0.20 0.30 2/345 6789\n"),
            ("proc/sys/kernel/pid_max", "4194304\n"),
            ("proc/sys/kernel/threads-max", "1345\n"),
            ("v1/memory/memory.usage_in_bytes", "700\n"),
            ("v1/memory/memory.stat", "cache 1\ninactive_file 7\ntotal_inactive_file 100\n"),
            ("v1/memory/kubepods/podx/memory.usage_in_bytes", "90\n"),
            ("v1/memory/kubepods/podx/memory.stat", "total_inactive_file 40\n"),
            ("v1/pids/kubepods/podx/pids.current", "17\n"),
            ("v2/memory.stat", "anon 300\nfile 200\ninactive_file 50\n"),
            ("v2/kubepods.slice/memory.current", "222\n"),
            ("v2/kubepods.slice/memory.stat", "anon 1\ninactive_file 22\n"),
        ];
        for (path, text) in files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (tree, all_pods) =
            if version == Version::V1 { ("v1", "/kubepods") } else { ("v2", "/kubepods.slice") };
        Meter {
            proc: dir.join("proc"),
            cgroups: dir.join(tree),
            version,
            all_pods: all_pods.to_owned(),
            memory_capacity: 1000,
            memory_of_pods: 800,
            root_dir: dir.to_owned(),
            image_dir: None,
            layer_dir: None,
        }
    }

    #[test]
    fn memory_is_what_is_left_beside_the_working_set() {
        let dir = tempfile::tempdir().unwrap();
        let of = |version| {
            let found = meter(dir.path(), version).observe();
            let available = |signal| found.get(&signal).map(|it: &Observation| (it.available, it.capacity));
            (available(Signal::MemoryAvailable), available(Signal::AllocatableMemoryAvailable))
        };
        assert_eq!(of(Version::V1), (Some((400, 1000)), None), "no total of all pods");
        assert_eq!(of(Version::V2), (Some((550, 1000)), Some((600, 800))));
    }

    #[test]
    fn pods_are_measured_by_their_cgroups() {
        let dir = tempfile::tempdir().unwrap();
        let meter = meter(dir.path(), Version::V1);
        assert_eq!(meter.working_set("/kubepods/podx"), Some(50));
        assert_eq!(meter.processes("/kubepods/podx"), Some(17));
        assert_eq!((meter.working_set("/kubepods/gone"), meter.processes("/kubepods/gone")), (None, None));
    }

    #[test]
    fn processes_count_against_the_lower_of_two_limits_and_disks_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let found = meter(dir.path(), Version::V2).observe();
        assert_eq!(found[&Signal::PidAvailable], Observation { available: 1000, capacity: 1345 });
        let disks = meter(dir.path(), Version::V2).disks();
        let node = disks[&Signal::NodeFsAvailable];
        assert!(node.available > 0 && node.available <= node.capacity, "{node:?}");
        assert!(!disks.contains_key(&Signal::ImageFsAvailable));
    }
}
