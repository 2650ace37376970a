//! `drain`: the node is cordoned, and its pods end.
//!
//! Here all pods are of DaemonSets, whose controller kubectl's drain leaves alone: so it wants to be told to ignore them, and then does no
//! more than a cordon. With `--delete-daemonset-pods` they end, too, and the node is marked as drained: none runs until it is uncordoned,
//! also across restarts of the agent and of the machine.

use std::time::Duration;

use clap::Args;
use hyper::Method;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{get, name_of, patch};
use crate::api::resource::PODS;
use crate::cli::Output;
use crate::cli::client::{Client, JSON};
use crate::cli::error::CliError;
use crate::cli::length_of_time::length_of_time;
use crate::go_duration::GoDuration;
use crate::node::DRAINED;

/// How often to look whether the pods are gone.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(in crate::cli) struct DrainArgs {
    /// This node's name
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// Leave the pods of DaemonSets running
    #[arg(long)]
    ignore_daemonsets: bool,
    /// End the pods of DaemonSets, too; none runs until the node is uncordoned
    #[arg(long, conflicts_with = "ignore_daemonsets")]
    delete_daemonset_pods: bool,
    /// Seconds given to each pod to end, if less than its own; its own if negative
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// How long to wait before giving up; zero means for ever
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = length_of_time)]
    timeout: Duration,
    #[command(flatten)]
    without_effect: WithoutEffect,
    /// Delete pods instead of evicting them, which only changes what is said: there are no disruption budgets here
    #[arg(long)]
    disable_eviction: bool,
}

/// What scripts give kubectl's drain, and what changes nothing for pods of DaemonSets.
#[derive(Debug, Args)]
struct WithoutEffect {
    /// Without effect: no pod here is without a controller
    #[arg(long)]
    force: bool,
    /// Without effect: kubectl asks for it before it ends a pod with emptyDir volumes; here --delete-daemonset-pods alone decides
    #[arg(long)]
    delete_emptydir_data: bool,
}

impl DrainArgs {
    /// The grace period to ask for, if not each pod's own.
    fn grace(&self) -> Option<u64> {
        u64::try_from(self.grace_period).ok()
    }
}

pub(in crate::cli) async fn run(
    args: &DrainArgs,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let node = get(args.node.as_deref(), client).await?;
    let name = name_of(&node).to_owned();
    cordon(&node, args.delete_daemonset_pods, client, output).await?;
    let pods = pods(client).await?;
    if !args.delete_daemonset_pods && !pods.is_empty() {
        let named = pods.iter().map(full_name).collect::<Vec<_>>().join(", ");
        if !args.ignore_daemonsets {
            let why = format!(
                "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore, or --delete-daemonset-pods to end them until the node is uncordoned): {named}"
            );
            writeln!(
                output.err,
                "error: unable to drain node {name:?} due to error: {why}, continuing command...\nThere are pending nodes to be drained:\n {name}"
            )?;
            return Err(CliError::Usage(why));
        }
        writeln!(output.err, "Warning: ignoring DaemonSet-managed Pods: {named}")?;
    }
    if args.delete_daemonset_pods {
        end(args, &pods, client, output).await?;
    }
    writeln!(output.out, "node/{name} drained")?;
    Ok(())
}

async fn cordon(node: &Node, of_all: bool, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let is_cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default();
    let mut change = json!({"spec": {"unschedulable": true}});
    if of_all {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        change["metadata"] = json!({"annotations": {DRAINED: now.to_string()}});
    }
    if of_all || !is_cordoned {
        patch(node, &change, client).await?;
    }
    let already = if is_cordoned { "already " } else { "" };
    writeln!(output.out, "node/{} {already}cordoned", name_of(node))?;
    output.out.flush()?;
    Ok(())
}

/// Waits until the pods are gone. That they end, the mark on the node has seen to; a shorter grace period is asked for one by one.
async fn end(
    args: &DrainArgs,
    pods: &[Pod],
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    for pod in pods {
        if !args.disable_eviction {
            writeln!(output.out, "evicting pod {}", full_name(pod))?;
            output.out.flush()?;
        }
        if let Some(grace) = args.grace() {
            let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": grace});
            let path = path_of(pod);
            match client.send::<Value>(Method::DELETE, &path, (JSON, options.to_string().into_bytes())).await
            {
                Err(CliError::Refused(status)) if status.code == Some(404) => {}
                answer => drop(answer?),
            }
        }
    }
    let done = if args.disable_eviction { "deleted" } else { "evicted" };
    let gone = async {
        for pod in pods {
            while is_there(pod, client).await? {
                sleep(LOOK_EVERY).await;
            }
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            writeln!(output.out, "pod/{name} {done}")?;
            output.out.flush()?;
        }
        Ok(())
    };
    if args.timeout.is_zero() {
        return gone.await;
    }
    timeout(args.timeout, gone).await.unwrap_or_else(|_| {
        let limit = GoDuration(args.timeout);
        Err(CliError::Failed(format!(
            "drain did not complete within {limit}: the pods go on ending, and none starts until the node is uncordoned"
        )))
    })
}

async fn is_there(pod: &Pod, client: &Client) -> Result<bool, CliError> {
    match client.get::<Pod>(&path_of(pod)).await {
        Ok(now) => Ok(now.metadata.uid == pod.metadata.uid),
        Err(CliError::Refused(status)) if status.code == Some(404) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn pods(client: &Client) -> Result<Vec<Pod>, CliError> {
    let list: Value = client.get(&PODS.path(None)).await?;
    Ok(serde_json::from_value(list["items"].clone())?)
}

fn path_of(pod: &Pod) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    format!("{}/{}", PODS.path(Some(namespace)), pod.metadata.name.as_deref().unwrap_or_default())
}

fn full_name(pod: &Pod) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", text(&pod.metadata.namespace), text(&pod.metadata.name))
}
