//! What the run was asked to do.

use std::path::PathBuf;
use std::time::Duration;

pub(crate) const USAGE: &str = "usage: cargo bench --bench node -- [OPTION]...
  --markdown FILE    also write the table there
  --only GROUP       only these rows: idle, full, calls, latency, probes, containerd or size; may be given more than once
  --quick            shorter and fewer: to see that it works, not for the record
  --patience SECONDS how long to wait for the machine to be quiet (60)
environment:
  DAEMONLET=PATH     measure this binary instead of building one
  KUBELET=PATH       measure this kubelet, too";

/// Rows that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Memory and CPU of an idle agent over 30 pods.
    Idle,
    /// Memory, cold start and recovery of a full node.
    Full,
    /// CRI calls when nothing happens.
    Calls,
    /// From an event to what the agent does about it.
    Latency,
    /// Hundreds of probes.
    Probes,
    /// On a real containerd.
    Containerd,
    /// The binary.
    Size,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) patience: Duration,
    /// How long an idle agent is watched.
    pub(crate) idle: Duration,
    /// How often a long experiment, such as a cold start, is done anew.
    pub(crate) rounds: usize,
    /// How many pods are measured where each gives one value.
    pub(crate) samples: usize,
    only: Vec<Group>,
}

impl Options {
    /// Reads the command line; nothing if cargo did not ask for a measurement.
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            markdown: None,
            patience: Duration::from_secs(60),
            idle: Duration::from_secs(120),
            rounds: 7,
            samples: 30,
            only: Vec::new(),
        };
        let mut is_bench = false;
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--bench" => is_bench = true,
                "--quick" => {
                    options.idle = Duration::from_secs(10);
                    options.rounds = 2;
                    options.samples = 8;
                }
                "--markdown" => options.markdown = Some(value()?.into()),
                "--patience" => {
                    let seconds = value()?.parse().map_err(|error| format!("--patience: {error}"))?;
                    options.patience = Duration::from_secs(seconds);
                }
                "--only" => {
                    options.only.push(match value()?.as_str() {
                        "idle" => Group::Idle,
                        "full" => Group::Full,
                        "calls" => Group::Calls,
                        "latency" => Group::Latency,
                        "probes" => Group::Probes,
                        "containerd" => Group::Containerd,
                        "size" => Group::Size,
                        other => return Err(format!("there is no group {other:?}")),
                    });
                }
                other => return Err(format!("unknown option {other:?}")),
            }
        }
        Ok(is_bench.then_some(options))
    }

    pub(crate) fn wants(&self, group: Group) -> bool {
        self.only.is_empty() || self.only.contains(&group)
    }
}
