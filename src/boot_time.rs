//! A point in time that no clock correction moves: which boot, and how long into it.
//!
//! For what has to last for a while also over a restart of the agent, on machines whose clock may be years off until the network is there.

use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which boot, and how long into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootTime {
    /// The kernel's `boot_id`.
    pub boot: String,
    /// Since then, suspended time included.
    pub uptime: Duration,
}

impl BootTime {
    /// Now, from procfs. Without procfs it is always the beginning, so that nothing ends by mistake.
    pub fn now() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot: boot.trim().to_owned(), uptime: uptime() }
    }

    /// What has certainly passed since `earlier`; nothing is certain across boots.
    pub fn since(&self, earlier: &Self) -> Duration {
        if self.boot == earlier.boot { self.uptime.saturating_sub(earlier.uptime) } else { Duration::ZERO }
    }
}

/// How long ago the machine was booted, suspended time included.
pub fn uptime() -> Duration {
    fs::read_to_string("/proc/uptime")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or_default()
}
