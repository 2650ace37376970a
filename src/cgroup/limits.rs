//! What a cgroup may use, and into which files that is written. Pure, but for asking the host for its huge page sizes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::Version;
use crate::cri::translate::PodCgroupLimits;

/// The fewest CPU shares that the kernel takes.
const MIN_SHARES: u64 = 2;
const MAX_SHARES: u64 = 262_144;
/// What the kubelet writes for "as many huge pages as there are".
const ALL_HUGE_PAGES: u64 = 1 << 62;

/// What the processes of a cgroup may use together; what is not set stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The share of CPU time against other cgroups, in the terms of cgroup v1 (1024 for one CPU).
    pub cpu_shares: Option<u64>,
    /// The most CPU time.
    pub cpu_quota: Option<CpuQuota>,
    /// The most memory, in bytes.
    pub memory: Option<u64>,
    /// The most processes and threads.
    pub pids: Option<u64>,
    /// Huge pages.
    pub huge_pages: HugePages,
}

/// So many microseconds of CPU time in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuQuota {
    /// CPU time in microseconds.
    pub quota: u64,
    /// The period in microseconds (100 000 as a rule).
    pub period: u64,
}

/// How many bytes of huge pages of each size may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HugePages {
    /// Whatever is set now.
    #[default]
    Unchanged,
    /// All of them (the `QoS` classes' cgroups).
    Unlimited,
    /// Bytes by page size as the kernel writes it (`2MB`); none of the sizes that are not there (a pod's cgroup).
    Only(BTreeMap<String, u64>),
}

/// The limits of a pod's cgroup, as the translation works them out.
impl From<&PodCgroupLimits> for Limits {
    fn from(pod: &PodCgroupLimits) -> Self {
        let amount = |number: i64| u64::try_from(number).unwrap_or(0);
        Self {
            cpu_shares: Some(amount(pod.cpu_shares)),
            cpu_quota: pod
                .cpu_quota
                .map(|cpu| CpuQuota { quota: amount(cpu.quota_micros), period: amount(cpu.period_micros) }),
            memory: pod.memory_bytes.map(amount),
            pids: pod.pids.map(amount),
            huge_pages: HugePages::Only(
                pod.hugepages.iter().map(|(size, bytes)| (size.clone(), amount(*bytes))).collect(),
            ),
        }
    }
}

/// A controller of which limits make use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Controller {
    Cpu,
    Memory,
    Pids,
    HugeTlb,
}

impl Controller {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Memory => "memory",
            Controller::Pids => "pids",
            Controller::HugeTlb => "hugetlb",
        }
    }
}

/// One value for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: Controller,
    pub(super) file: String,
    pub(super) value: String,
}

impl Limits {
    /// The CPU shares, within what the kernel takes.
    pub(super) fn cpu_shares(&self) -> Option<u64> {
        self.cpu_shares.map(|shares| shares.clamp(MIN_SHARES, MAX_SHARES))
    }

    /// The files to write, in order. `page_sizes` are those that the host has.
    pub(super) fn settings(&self, version: Version, page_sizes: &[String]) -> Vec<Setting> {
        let mut settings = Vec::new();
        let mut set = |controller, file: &str, value: String| {
            settings.push(Setting { controller, file: file.to_owned(), value });
        };
        let v2 = version == Version::V2;
        if let Some(shares) = self.cpu_shares() {
            if v2 {
                set(Controller::Cpu, "cpu.weight", weight(shares).to_string());
            } else {
                set(Controller::Cpu, "cpu.shares", shares.to_string());
            }
        }
        if let Some(CpuQuota { quota, period }) = self.cpu_quota {
            if v2 {
                set(Controller::Cpu, "cpu.max", format!("{quota} {period}"));
            } else {
                // The kernel checks a quota against the period that is set.
                set(Controller::Cpu, "cpu.cfs_period_us", period.to_string());
                set(Controller::Cpu, "cpu.cfs_quota_us", quota.to_string());
            }
        }
        if let Some(bytes) = self.memory {
            set(
                Controller::Memory,
                if v2 { "memory.max" } else { "memory.limit_in_bytes" },
                bytes.to_string(),
            );
        }
        if let Some(pids) = self.pids {
            set(Controller::Pids, "pids.max", pids.to_string());
        }
        for size in page_sizes {
            let bytes = match &self.huge_pages {
                HugePages::Unchanged => continue,
                HugePages::Unlimited => ALL_HUGE_PAGES,
                HugePages::Only(bytes) => bytes.get(size).copied().unwrap_or_default(),
            };
            let file =
                if v2 { format!("hugetlb.{size}.max") } else { format!("hugetlb.{size}.limit_in_bytes") };
            set(Controller::HugeTlb, &file, bytes.to_string());
        }
        settings
    }
}

/// Shares of cgroup v1 as a weight of v2: 2…262144 to 1…10000.
pub(super) const fn weight(shares: u64) -> u64 {
    1 + (shares.saturating_sub(MIN_SHARES) * 9999) / 262_142
}

/// The sizes of huge pages that this host knows, as cgroup files write them (`2MB`), from `/sys/kernel/mm/hugepages`.
pub fn host_page_sizes() -> io::Result<Vec<String>> {
    page_sizes(Path::new("/sys/kernel/mm/hugepages"))
}

fn page_sizes(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut sizes = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let kib =
            name.to_str().and_then(|name| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok());
        sizes.extend(kib.map(page_size_name));
    }
    sizes.sort_unstable();
    Ok(sizes)
}

/// A size in KiB with the largest unit that leaves a whole number.
fn page_size_name(kib: u64) -> String {
    let mut size = kib;
    let mut units = ["KB", "MB", "GB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if size < 1024 || !size.is_multiple_of(1024) {
            break;
        }
        size /= 1024;
        unit = larger;
    }
    format!("{size}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limits: &Limits, version: Version) -> Vec<String> {
        let settings = limits.settings(version, &["1GB".to_owned(), "2MB".to_owned()]);
        settings.into_iter().map(|setting| format!("{}={}", setting.file, setting.value)).collect()
    }

    #[test]
    fn limits_become_the_files_of_each_version() {
        let pod = Limits {
            cpu_shares: Some(1024),
            cpu_quota: Some(CpuQuota { quota: 50_000, period: 100_000 }),
            memory: Some(1 << 20),
            pids: Some(100),
            huge_pages: HugePages::Only(BTreeMap::from([("2MB".to_owned(), 4 << 20)])),
        };
        let v1 = [
            "cpu.shares=1024",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=50000",
            "memory.limit_in_bytes=1048576",
            "pids.max=100",
            "hugetlb.1GB.limit_in_bytes=0",
            "hugetlb.2MB.limit_in_bytes=4194304",
        ];
        assert_eq!(written(&pod, Version::V1), v1);
        let v2 = [
            "cpu.weight=39",
            "cpu.max=50000 100000",
            "memory.max=1048576",
            "pids.max=100",
            "hugetlb.1GB.max=0",
            "hugetlb.2MB.max=4194304",
        ];
        assert_eq!(written(&pod, Version::V2), v2);
        assert!(written(&Limits::default(), Version::V1).is_empty());
        let qos = Limits { huge_pages: HugePages::Unlimited, ..Limits::default() };
        let all = ["hugetlb.1GB.max=4611686018427387904", "hugetlb.2MB.max=4611686018427387904"];
        assert_eq!(written(&qos, Version::V2), all);
    }

    #[test]
    fn shares_become_weights_as_in_the_kubelet() {
        for (shares, weight, clamped) in [
            (0, 1, 2),
            (2, 1, 2),
            (102, 4, 102),
            (1024, 39, 1024),
            (262_144, 10_000, 262_144),
            (u64::MAX, 10_000, 262_144),
        ] {
            let limits = Limits { cpu_shares: Some(shares), ..Limits::default() };
            assert_eq!(written(&limits, Version::V2), [format!("cpu.weight={weight}")]);
            assert_eq!(written(&limits, Version::V1), [format!("cpu.shares={clamped}")]);
        }
    }

    #[test]
    fn page_sizes_are_named_as_cgroup_files_name_them() {
        let sys = tempfile::tempdir().unwrap();
        for name in
            ["hugepages-64kB", "hugepages-2048kB", "hugepages-1048576kB", "hugepages-16777216kB", "other"]
        {
            fs::create_dir(sys.path().join(name)).unwrap();
        }
        assert_eq!(page_sizes(sys.path()).unwrap(), ["16GB", "1GB", "2MB", "64KB"]);
        assert!(page_sizes(&sys.path().join("none")).unwrap().is_empty());
    }
}
