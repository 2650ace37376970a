//! How soon an agent answers to what happens on a node that is otherwise quiet.

use std::time::{Duration, Instant};

use daemonlet::cri::fake::{RecordedCall, Request};
use tokio::time::sleep;

use crate::Result;
use crate::node::{Node, Saved, names};
use crate::options::Options;
use crate::scale::{SETTLED, is_successor};
use crate::subject::Subject;

/// Between two experiments: none is to profit from the other's wakefulness. No round number, so that they fall on all phases of a
/// poll that an agent may have.
const PAUSE: Duration = Duration::from_millis(370);

/// All in milliseconds.
pub(crate) struct Latencies {
    /// From a container's end to the `CreateContainer` of its successor.
    pub(crate) successor: Vec<f64>,
    /// From the rename of a manifest to `RunPodSandbox`.
    pub(crate) renamed: Vec<f64>,
    /// From the close of a manifest to `RunPodSandbox`.
    pub(crate) closed: Vec<f64>,
}

pub(crate) async fn measure(subject: &Subject, options: &Options) -> Result<Latencies> {
    let pods = names(6);
    let mut node = Node::new(subject, &pods)?;
    node.start()?;
    node.running(pods.len()).await?;
    sleep(SETTLED).await;

    let mut latencies = Latencies { successor: Vec::new(), renamed: Vec::new(), closed: Vec::new() };
    for number in 0..options.samples {
        for (how, prefix) in [(Saved::Renamed, "renamed"), (Saved::Closed, "closed")] {
            let pod = format!("{prefix}-{number:03}");
            let saved = node.save(&pod, how)?;
            let asked = node.call("RunPodSandbox", |call| is_sandbox_of(call, &pod)).await?;
            let took = (asked - saved).as_secs_f64() * 1e3;
            match how {
                Saved::Renamed => latencies.renamed.push(took),
                Saved::Closed => latencies.closed.push(took),
            }
            node.running(pods.len() + 2 * number + latencies.closed.len() - number + 1).await?;
            sleep(PAUSE).await;
        }
    }
    // The kubelet waits before a first restart that comes soon after a start.
    sleep(SETTLED).await;
    for number in 0..options.samples {
        let container = format!("renamed-{number:03}");
        let ended = Instant::now();
        node.runtime.exit(&container, 1);
        let created = node.call("successor", |call| is_successor(call, &container)).await?;
        latencies.successor.push((created - ended).as_secs_f64() * 1e3);
        sleep(PAUSE).await;
    }
    Ok(latencies)
}

/// Whether a call makes the sandbox of this pod; an agent may add to its name.
fn is_sandbox_of(call: &RecordedCall, pod: &str) -> bool {
    let Request::RunPodSandbox(request) = &call.request else { return false };
    let metadata = request.config.as_ref().and_then(|config| config.metadata.as_ref());
    metadata.is_some_and(|metadata| metadata.name.starts_with(pod))
}
