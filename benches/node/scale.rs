//! A full node: 110 pods from nothing, and after the agent was killed.

use std::time::Duration;

use daemonlet::cri::Method;
use daemonlet::cri::fake::RecordedCall;
use tokio::time::sleep;

use crate::Result;
use crate::node::{Node, names};
use crate::options::Options;
use crate::process;
use crate::subject::Subject;

/// By then an agent that has started its pods has done what follows from it.
pub(crate) const SETTLED: Duration = Duration::from_secs(5);

const PODS: usize = 110;

pub(crate) struct FullNode {
    /// PSS and RSS in megabytes.
    pub(crate) memory: [Vec<f64>; 2],
    /// In milliseconds, from the agent's start to the last `StartContainer`.
    pub(crate) cold_start: Vec<f64>,
    /// In milliseconds, from the agent's second start to the `CreateContainer` for what died meanwhile.
    pub(crate) recovery: Vec<f64>,
}

/// Fills a node as often as is asked for, each time anew.
pub(crate) async fn full_node(subject: &Subject, options: &Options) -> Result<FullNode> {
    let pods = names(PODS);
    let mut full = FullNode { memory: Default::default(), cold_start: Vec::new(), recovery: Vec::new() };
    for round in 0..options.rounds {
        let mut node = Node::new(subject, &pods)?;
        let started = node.start()?;
        node.running(PODS).await?;
        let last = node
            .runtime
            .read(|state| state.calls.iter().rev().find(|call| is_start(call)).map(|call| call.at));
        if let Some(last) = last {
            full.cold_start.push((last.into_std() - started).as_secs_f64() * 1e3);
        }
        sleep(SETTLED).await;
        let memory = process::memory(node.pid()?)?;
        full.memory[0].push(memory.pss as f64 / 1e6);
        full.memory[1].push(memory.rss as f64 / 1e6);

        node.kill()?;
        let victim = &pods[(round * 37) % PODS];
        node.runtime.exit(victim, 1);
        let restarted = node.start()?;
        let created = node.call("successor of what died", |call| is_successor(call, victim)).await?;
        full.recovery.push((created - restarted).as_secs_f64() * 1e3);
    }
    Ok(full)
}

fn is_start(call: &RecordedCall) -> bool {
    call.method() == Method::StartContainer
}

/// Whether a call makes the second instance of a container.
pub(crate) fn is_successor(call: &RecordedCall, container: &str) -> bool {
    call.method() == Method::CreateContainer
        && call.container.as_deref() == Some(container)
        && call.attempt == Some(1)
}
