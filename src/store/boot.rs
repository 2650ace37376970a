//! The clock that nobody sets: which boot this is, and how long into it.

use std::fs;
use std::time::Duration;

use super::guard::BootTime;

/// Now, from procfs. Without procfs it is always the beginning, so that no hold ever ends by mistake.
pub(super) fn now() -> BootTime {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    BootTime { boot: boot.trim().to_owned(), uptime: uptime() }
}

/// How long ago the machine was booted, suspended time included.
pub fn uptime() -> Duration {
    fs::read_to_string("/proc/uptime")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or_default()
}
