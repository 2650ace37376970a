//! What the kernel says of a process.

use std::fs;
use std::time::Duration;

use crate::Result;

/// Its memory in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Its share of what is resident: pages that several processes map are divided among them.
    pub(crate) pss: u64,
    /// All that is resident.
    pub(crate) rss: u64,
}

/// What a process holds now.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|error| format!("read {path}: {error}"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kibibytes: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kibibytes.map(|kibibytes| kibibytes * 1024).ok_or(format!("{path} has no {name}"))
    };
    Ok(Memory { pss: field("Pss")?, rss: field("Rss")? })
}

/// How many threads it has.
pub(crate) fn threads(pid: u32) -> Result<usize> {
    let path = format!("/proc/{pid}/task");
    Ok(fs::read_dir(&path).map_err(|error| format!("list {path}: {error}"))?.count())
}

/// How long it has been on a CPU, in all its threads that are alive. In nanoseconds: `/proc/PID/stat` counts in hundredths of a second.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let mut nanoseconds = 0;
    for task in fs::read_dir(&path).map_err(|error| format!("list {path}: {error}"))? {
        // A thread may end meanwhile.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}
