//! What the host is: processors, memory, kernel, addresses.
//!
//! Reads `/proc`, `/sys` and `/etc` below a given root, so that tests bring their own host. Nothing is decided here. What cAdvisor
//! and the kubelet read, and from where, is the model: the same host must show the same figures.

mod addresses;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{InvalidNodeName, NodeName};
use crate::cgroup::Version;

/// What the host is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Processors that are online.
    pub cpus: u32,
    /// `MemTotal` in bytes.
    pub memory_bytes: u64,
    /// `SwapTotal` in bytes.
    pub swap_bytes: u64,
    /// Huge pages set aside: bytes in all, by the size of one in bytes.
    pub hugepages: BTreeMap<u64, u64>,
    /// Size in bytes of the file system that holds the agent's root directory.
    pub ephemeral_storage_bytes: u64,
    /// As `uname -r` prints it.
    pub kernel_release: String,
    /// `PRETTY_NAME` of the distribution.
    pub os_image: String,
    /// The processor architecture in Go's spelling (`amd64`, `arm64` …).
    pub arch: String,
    /// Of this installation.
    pub machine_id: String,
    /// Of this boot.
    pub boot_id: String,
    /// Of the hardware, or the machine ID where the hardware has none.
    pub system_uuid: String,
    /// The node's IPs, at most one a family, the primary one first. Empty on a host without network.
    pub addresses: Vec<IpAddr>,
    /// Which control group hierarchy the host uses.
    pub cgroup: Version,
    /// Whether the swap of a control group can be limited.
    pub swap_controller: bool,
}

/// Why the host can't be read.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file that every Linux host has can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that every Linux host has lacks what is looked for.
    #[error("{} says nothing about {what}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The hostname can't be the node's name.
    #[error("the hostname cannot be the node's name (set nodeName in the configuration)")]
    Name(#[from] InvalidNodeName),
}

/// The host as seen from a directory: `/`, or a test's own.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// The host whose `/proc`, `/sys` and `/etc` lie below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The name of a node on this host when none is configured.
    ///
    /// # Errors
    /// When the hostname can't be read or is no node name.
    pub fn node_name(&self) -> Result<NodeName, HostError> {
        Ok(NodeName::of_host(&self.read("proc/sys/kernel/hostname")?)?)
    }

    /// All facts. `root_dir` is the agent's state directory; `addresses`, where not empty, are used instead of the host's own.
    ///
    /// # Errors
    /// When processors or memory can't be counted. Anything else that is missing is left empty.
    pub fn facts(&self, root_dir: &Path, addresses: &[IpAddr]) -> Result<HostFacts, HostError> {
        let meminfo = self.read("proc/meminfo")?;
        let memory = kilobytes(&meminfo, "MemTotal:");
        let memory_bytes = memory.ok_or_else(|| self.missing("proc/meminfo", "MemTotal"))?;
        let machine_id = self.first_line(&["etc/machine-id", "var/lib/dbus/machine-id"]);
        let uuid = self.first_line(&["sys/class/dmi/id/product_uuid", "proc/device-tree/vm,uuid"]);
        Ok(HostFacts {
            cpus: self.cpus()?,
            memory_bytes,
            swap_bytes: kilobytes(&meminfo, "SwapTotal:").unwrap_or_default(),
            hugepages: self.hugepages(),
            ephemeral_storage_bytes: file_system_size(root_dir),
            kernel_release: self.first_line(&["proc/sys/kernel/osrelease"]),
            os_image: self.os_image(),
            arch: go_arch(std::env::consts::ARCH).to_owned(),
            boot_id: self.first_line(&["proc/sys/kernel/random/boot_id"]),
            system_uuid: if uuid.is_empty() { machine_id.clone() } else { uuid },
            machine_id,
            addresses: if addresses.is_empty() { self.addresses() } else { addresses.to_vec() },
            cgroup: self.cgroup(),
            swap_controller: self.swap_controller(),
        })
    }

    /// The node's own IPs as they are now: those of the interface with the default route.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let routes = |file: &str| self.read(file).unwrap_or_default();
        let (v4, v6) = (routes("proc/net/route"), routes("proc/net/ipv6_route"));
        addresses::choose(
            addresses::default_interface_v4(&v4),
            addresses::default_interface_v6(&v6),
            &addresses::assigned(),
        )
    }

    fn cpus(&self) -> Result<u32, HostError> {
        const ONLINE: &str = "sys/devices/system/cpu/online";
        const INFO: &str = "proc/cpuinfo";
        if let Ok(online) = self.read(ONLINE) {
            return count_cpus(&online).ok_or_else(|| self.missing(ONLINE, "processors"));
        }
        let info = self.read(INFO)?;
        let found = info.lines().filter(|line| line.starts_with("processor")).count();
        let found = u32::try_from(found).ok().filter(|count| *count > 0);
        found.ok_or_else(|| self.missing(INFO, "processors"))
    }

    fn hugepages(&self) -> BTreeMap<u64, u64> {
        let sizes = fs::read_dir(self.root.join("sys/kernel/mm/hugepages")).into_iter().flatten().flatten();
        let pool = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let size: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let count: u64 =
                fs::read_to_string(entry.path().join("nr_hugepages")).ok()?.trim().parse().ok()?;
            let size = size.checked_mul(1024)?;
            Some((size, size.checked_mul(count)?))
        };
        sizes.filter_map(pool).collect()
    }

    fn os_image(&self) -> String {
        let release = self.read("etc/os-release").or_else(|_| self.read("usr/lib/os-release"));
        let release = release.unwrap_or_default();
        let value = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default();
        value.trim().trim_matches(['"', '\'']).to_owned()
    }

    fn cgroup(&self) -> Version {
        let unified = self.root.join("sys/fs/cgroup/cgroup.controllers").exists();
        if unified { Version::V2 } else { Version::V1 }
    }

    fn swap_controller(&self) -> bool {
        let path = match self.cgroup() {
            Version::V1 => "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes".to_owned(),
            // The root group has no limits: look at the agent's own.
            Version::V2 => {
                let own = self.read("proc/self/cgroup").unwrap_or_default();
                let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
                format!("sys/fs/cgroup/{own}/memory.swap.max")
            }
        };
        self.root.join(path).exists()
    }

    fn first_line(&self, files: &[&str]) -> String {
        let texts = files.iter().filter_map(|file| self.read(file).ok());
        texts
            .map(|text| text.trim_matches(['\0', '\n', ' ']).to_owned())
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    }

    fn read(&self, file: &str) -> Result<String, HostError> {
        let path = self.root.join(file);
        fs::read_to_string(&path).map_err(|source| HostError::Read { path, source })
    }

    fn missing(&self, file: &str, what: &'static str) -> HostError {
        HostError::Missing { path: self.root.join(file), what }
    }
}

fn kilobytes(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Counts a list of the form `0-3,8`.
fn count_cpus(online: &str) -> Option<u32> {
    let mut count: u32 = 0;
    for part in online.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}

/// The size of the file system that holds `path`, or will hold it once it is made; 0 when that can't be told.
fn file_system_size(path: &Path) -> u64 {
    path.ancestors().find_map(|path| nix::sys::statvfs::statvfs(path).ok()).map_or(0, |found| {
        // Their widths differ by target.
        #[allow(clippy::useless_conversion)]
        u64::from(found.blocks()).saturating_mul(u64::from(found.fragment_size()))
    })
}

fn go_arch(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let host = Host::new(root.path());
        (root, host)
    }

    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\nSwapTotal:  2048 kB\n");

    #[test]
    fn facts_are_those_of_the_files() {
        let (root, host) = host(&[
            MEMINFO,
            ("sys/devices/system/cpu/online", "0-2,5\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "3\n"),
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0\n"),
            ("proc/sys/kernel/osrelease", "6.1.0-18-arm64\n"),
            ("etc/os-release", "NAME=Debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            ("var/lib/dbus/machine-id", "0123\n"),
            ("proc/sys/kernel/random/boot_id", "b007\n"),
            ("sys/fs/cgroup/cgroup.controllers", "cpu memory\n"),
            ("proc/self/cgroup", "0::/system.slice/daemonlet.service\n"),
            ("sys/fs/cgroup/system.slice/daemonlet.service/memory.swap.max", "max\n"),
        ]);
        let facts = host.facts(&root.path().join("not/made/yet"), &["192.0.2.1".parse().unwrap()]).unwrap();
        assert_eq!((facts.cpus, facts.memory_bytes, facts.swap_bytes), (4, 16 << 20, 2 << 20));
        assert_eq!(facts.hugepages, BTreeMap::from([(2 << 20, 6 << 20), (1 << 30, 0)]));
        assert!(facts.ephemeral_storage_bytes > 0);
        assert_eq!(facts.kernel_release, "6.1.0-18-arm64");
        assert_eq!(facts.os_image, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!((facts.machine_id.as_str(), facts.system_uuid.as_str()), ("0123", "0123"));
        assert_eq!(facts.boot_id, "b007");
        assert_eq!(facts.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!((facts.cgroup, facts.swap_controller), (Version::V2, true));
    }

    #[test]
    fn a_host_that_tells_little_is_still_a_host() {
        let (root, host) = host(&[MEMINFO, ("proc/cpuinfo", "processor\t: 0\nmodel: x\nprocessor\t: 1\n")]);
        let facts = host.facts(root.path(), &[]).unwrap();
        assert_eq!((facts.cpus, facts.cgroup, facts.swap_controller), (2, Version::V1, false));
        assert_eq!(facts.os_image, "");
    }

    #[test]
    fn memory_and_processors_must_be_told() {
        let (root, host) = host(&[("proc/meminfo", "MemFree: 1 kB\n")]);
        let error = host.facts(root.path(), &[]).unwrap_err().to_string();
        assert!(error.ends_with("proc/meminfo says nothing about MemTotal"), "{error}");
        let (root, host) = self::host(&[MEMINFO]);
        assert!(matches!(host.facts(root.path(), &[]), Err(HostError::Read { .. })));
    }

    #[test]
    fn the_hostname_names_the_node() {
        let (_root, host) = host(&[("proc/sys/kernel/hostname", "Edge-1\n")]);
        assert_eq!(host.node_name().unwrap().as_str(), "edge-1");
    }

    #[test]
    fn this_host_can_be_read() {
        let facts = Host::new("/").facts(Path::new("/"), &[]).unwrap();
        assert!(facts.cpus > 0 && facts.memory_bytes > 0 && !facts.kernel_release.is_empty());
    }
}
