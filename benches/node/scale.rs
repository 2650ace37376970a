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
use crate::table::{Goal, Row, Unit};

/// By then an agent that has started its pods has done what follows from it.
pub(crate) const SETTLED: Duration = Duration::from_secs(5);

const PODS: usize = 110;

/// Fills a node as often as is asked for, each time anew.
pub(crate) async fn full_node(subject: &Subject, options: &Options) -> Result<Vec<Row>> {
    let pods = names(PODS);
    let (mut pss, mut rss, mut cold_start, mut recovery) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let mut node = Node::new(subject, &pods)?;
        let started = node.start()?;
        node.running(PODS).await?;
        let last = node
            .runtime
            .read(|state| state.calls.iter().rev().find(|call| is_start(call)).map(|call| call.at));
        if let Some(last) = last {
            cold_start.push((last.into_std() - started).as_secs_f64() * 1e3);
        }
        sleep(SETTLED).await;
        let memory = process::memory(node.pid()?)?;
        pss.push(memory.pss as f64 / 1e6);
        rss.push(memory.rss as f64 / 1e6);

        node.kill()?;
        let victim = &pods[(round * 37) % PODS];
        node.runtime.exit(victim, 1);
        let restarted = node.start()?;
        let created = node.call("successor of what died", |call| is_successor(call, victim)).await?;
        recovery.push((created - restarted).as_secs_f64() * 1e3);
    }
    let milliseconds = |limit| Goal::at_most(limit, Unit::Milliseconds);
    Ok(vec![
        Row::new("memory (PSS), 110 pods", Goal::at_most(10.0, Unit::Megabytes)).measured(pss),
        Row::new("memory (RSS), 110 pods", Goal::none(Unit::Megabytes)).measured(rss),
        Row::new("110 pods from a cold start", milliseconds(1000.0)).measured(cold_start),
        Row::new("agent killed, restarted over 110 pods → dead container re-created", milliseconds(250.0))
            .measured(recovery),
    ])
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
