//! An agent that has nothing to do: what it costs all the same.

use std::time::Instant;

use tokio::time::sleep;

use crate::Result;
use crate::node::{Node, names};
use crate::options::Options;
use crate::process;
use crate::scale::SETTLED;
use crate::subject::Subject;
use crate::table::{Goal, Row, Unit};

/// Watches an agent over 30 pods that run.
pub(crate) async fn thirty_pods(subject: &Subject, options: &Options) -> Result<Vec<Row>> {
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
    let cpu = 100.0 * used.as_secs_f64() / begun.elapsed().as_secs_f64();
    let [pss, rss] = memory;
    Ok(vec![
        Row::new("memory (PSS), 30 pods", Goal::at_most(6.0, Unit::Megabytes)).measured(pss),
        Row::new("memory (RSS), 30 pods", Goal::none(Unit::Megabytes)).measured(rss),
        Row::new("idle CPU, 30 pods", Goal::at_most(0.05, Unit::PercentOfCore)).measured([cpu]),
    ])
}

/// The CRI calls a minute of an agent over 6 pods that run. Those at its start do not count.
pub(crate) async fn six_pods(subject: &Subject, options: &Options) -> Result<Row> {
    let pods = names(6);
    let mut node = Node::new(subject, &pods)?;
    node.start()?;
    node.running(pods.len()).await?;
    sleep(SETTLED).await;
    let calls = || node.runtime.read(|state| state.calls.len());
    let (begun, before) = (Instant::now(), calls());
    // Whole periods of the slow listing, so that none is counted for half a period.
    sleep(options.idle * 2).await;
    let rate = (calls() - before) as f64 / begun.elapsed().as_secs_f64() * 60.0;
    let goal = Goal::at_most(2.0, Unit::PerMinute);
    Ok(Row::new("CRI calls when nothing happens, 6 pods", goal).measured([rate]))
}
