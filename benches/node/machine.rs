//! The machine that is measured on, in one line each, and waiting until it has nothing else to do.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::subject::Subject;

/// With less waiting for the CPU than this, on average over the last minute and per core, the machine counts as quiet.
const QUIET: f64 = 0.25;

/// Waits for the machine to be quiet, or until it has waited long enough. What it was like is told in [`describe`].
pub(crate) fn wait_until_quiet(patience: Duration) {
    let begun = Instant::now();
    while load() > QUIET * cores() as f64 && begun.elapsed() < patience {
        sleep(Duration::from_secs(2));
    }
}

/// The machine and the versions of what is measured.
pub(crate) fn describe(daemonlet: &Subject, kubelet: Option<&Subject>) -> Vec<String> {
    let mut lines = vec![
        format!("CPU: {}, {} cores; load {:.2} at the start", model(), cores(), load()),
        format!("memory: {:.0} GB", field("/proc/meminfo", "MemTotal").map_or(0.0, |kb| kb / 1e6)),
        format!("kernel: {}", first_line("/proc/sys/kernel/osrelease")),
        format!("containerd: {}", containerd()),
        format!("daemonlet: {}", daemonlet.version()),
    ];
    lines.push(match kubelet {
        Some(kubelet) => format!("kubelet: {}", kubelet.version()),
        None => "kubelet: none was given (KUBELET=PATH)".to_owned(),
    });
    lines
}

fn load() -> f64 {
    let text = first_line("/proc/loadavg");
    text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0.0)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    line.map_or("unknown", |(_, name)| name).to_owned()
}

fn containerd() -> String {
    let output = Command::new("containerd").arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().nth(2).unwrap_or("none").to_owned()
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

fn field(path: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}
