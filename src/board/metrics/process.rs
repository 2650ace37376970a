//! What the agent's process takes, under the names that every Prometheus client library gives these numbers. Read from procfs at the scrape.

use std::fs;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::boot_time;

/// This process.
#[derive(Debug)]
pub(super) struct Process {
    resident: Gauge,
    descriptors: Gauge,
    started: Gauge,
    /// When it started, since boot: the wall clock may have been wrong then.
    started_at: Duration,
}

impl Process {
    /// To be made when the process starts.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let process = Self {
            resident: Gauge::default(),
            descriptors: Gauge::default(),
            started: Gauge::default(),
            started_at: boot_time::uptime(),
        };
        for (name, about, gauge) in [
            ("process_resident_memory_bytes", "Resident memory size in bytes", &process.resident),
            ("process_open_fds", "Number of open file descriptors", &process.descriptors),
            ("process_start_time_seconds", "Start time of the process since unix epoch", &process.started),
        ] {
            registry.register(name, about, gauge.clone());
        }
        process
    }

    pub(super) fn read(&self) {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        self.resident.set(resident.and_then(|text| text.parse::<i64>().ok()).unwrap_or(0) * 1024);
        let descriptors = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        self.descriptors.set(i64::try_from(descriptors).unwrap_or(i64::MAX));
        let age = boot_time::uptime().saturating_sub(self.started_at);
        self.started.set(seconds(SystemTime::now() - age));
    }
}

/// Seconds since 1970.
pub(super) fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
