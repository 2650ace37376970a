//! How soon an agent answers to what happens on a node that is otherwise quiet.

use std::time::{Duration, Instant};

use daemonlet::cri::fake::{RecordedCall, Request};
use tokio::time::sleep;

use crate::Result;
use crate::node::{Node, Saved, names};
use crate::options::Options;
use crate::scale::{SETTLED, is_successor};
use crate::subject::Subject;
use crate::table::{Goal, Row, Unit};

/// Between two experiments: none is to profit from the other's wakefulness. No round number, so that they fall on all phases of a
/// poll that an agent may have.
const PAUSE: Duration = Duration::from_millis(370);

pub(crate) async fn measure(subject: &Subject, options: &Options) -> Result<Vec<Row>> {
    let pods = names(6);
    let mut node = Node::new(subject, &pods)?;
    node.start()?;
    node.running(pods.len()).await?;
    sleep(SETTLED).await;

    let (mut renamed, mut closed) = (Vec::new(), Vec::new());
    let mut running = pods.len();
    for number in 0..options.samples {
        for (how, prefix, latencies) in
            [(Saved::Renamed, "renamed", &mut renamed), (Saved::Closed, "closed", &mut closed)]
        {
            let pod = format!("{prefix}-{number:03}");
            let saved = node.save(&pod, how)?;
            let asked = node.call("RunPodSandbox", |call| is_sandbox_of(call, &pod)).await?;
            latencies.push((asked - saved).as_secs_f64() * 1e3);
            running += 1;
            node.running(running).await?;
            sleep(PAUSE).await;
        }
    }
    let mut successor = Vec::new();
    for number in 0..options.samples {
        let container = format!("renamed-{number:03}");
        let ended = Instant::now();
        node.runtime.exit(&container, 1);
        let created = node.call("successor", |call| is_successor(call, &container)).await?;
        successor.push((created - ended).as_secs_f64() * 1e3);
        sleep(PAUSE).await;
    }
    let milliseconds = |limit| Goal::at_most(limit, Unit::Milliseconds);
    Ok(vec![
        Row::new("container exits → successor is created", milliseconds(10.0)).measured(successor),
        Row::new("manifest renamed into place → RunPodSandbox", milliseconds(5.0)).measured(renamed),
        Row::new("manifest written and closed → RunPodSandbox", milliseconds(5.0)).measured(closed),
    ])
}

/// Whether a call makes the sandbox of this pod; an agent may add to its name.
fn is_sandbox_of(call: &RecordedCall, pod: &str) -> bool {
    let Request::RunPodSandbox(request) = &call.request else { return false };
    let metadata = request.config.as_ref().and_then(|config| config.metadata.as_ref());
    metadata.is_some_and(|metadata| metadata.name.starts_with(pod))
}
