//! An agent that has nothing to do: what it costs all the same.

use std::time::Instant;

use tokio::time::sleep;

use crate::Result;
use crate::node::{Node, names};
use crate::options::Options;
use crate::process;
use crate::scale::SETTLED;
use crate::subject::Subject;

/// An idle agent over 30 pods.
pub(crate) struct Idle {
    /// PSS and RSS in megabytes.
    pub(crate) memory: [Vec<f64>; 2],
    /// In percent of one core.
    pub(crate) cpu: f64,
}

/// Watches an agent over 30 pods that run.
pub(crate) async fn thirty_pods(subject: &Subject, options: &Options) -> Result<Idle> {
    let pods = names(30);
    let mut node = Node::new(subject, &pods)?;
    node.start()?;
    node.running(pods.len()).await?;
    sleep(SETTLED).await;
    let pid = node.pid()?;
    let (begun, before) = (Instant::now(), process::cpu(pid)?);
    let mut memory = [Vec::new(), Vec::new()];
    for _ in 0..10 {
        sleep(options.idle / 10).await;
        let now = process::memory(pid)?;
        memory[0].push(now.pss as f64 / 1e6);
        memory[1].push(now.rss as f64 / 1e6);
    }
    let used = process::cpu(pid)?.saturating_sub(before);
    Ok(Idle { memory, cpu: 100.0 * used.as_secs_f64() / begun.elapsed().as_secs_f64() })
}

/// The CRI calls a minute of an agent over 6 pods that run. Those at its start do not count.
pub(crate) async fn six_pods(subject: &Subject, options: &Options) -> Result<f64> {
    let pods = names(6);
    let mut node = Node::new(subject, &pods)?;
    node.start()?;
    node.running(pods.len()).await?;
    sleep(SETTLED).await;
    let calls = || node.runtime.read(|state| state.calls.len());
    let (begun, before) = (Instant::now(), calls());
    // Whole periods of the slow listing, so that none is counted for half a period.
    sleep(options.idle * 2).await;
    Ok((calls() - before) as f64 / begun.elapsed().as_secs_f64() * 60.0)
}
