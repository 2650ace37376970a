//! `daemonlet describe`: all about an object, for people, with its events.
//!
//! Rule: kubectl's `pkg/describe/describe.go`, line by line. Each kind's description is a pure function of the objects it shows.

mod container;
mod daemon_set;
mod description;
mod events;
mod lists;
mod node;
mod pod;
mod resources;
mod template;
#[cfg(test)]
mod tests;
mod volume;

pub(super) use template::with_tabs as template_with_tabs;

use clap::Args;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Output;
use super::client::{Client, escape, with_query};
use super::error::CliError;
use super::target::{Scope, Target, targets};
use crate::api::resource::{EVENTS, PODS};
use crate::api::selector::LabelSelector;
use crate::api::table::format_label_selector;
use crate::board::ItemKind;
use crate::kubelet::static_pod::HANDED_OVER;

#[derive(Debug, Args)]
pub(super) struct DescribeArgs {
    /// What to describe: ds, pod or node, and their names; or TYPE/NAME
    #[arg(value_name = "TYPE [NAME…] | TYPE/NAME")]
    words: Vec<String>,
    #[command(flatten)]
    scope: Scope,
    /// Only objects with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct List<T> {
    items: Vec<T>,
}

pub(super) async fn run(
    args: &DescribeArgs,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let targets = targets(&args.words)?;
    let mut errors = Vec::new();
    let mut is_first = true;
    for target in &targets {
        for path in paths(args, target, client).await? {
            match describe(target.resource.item, &path, client).await {
                Ok(description) => {
                    let gap = if is_first { "" } else { "\n\n" };
                    write!(output.out, "{gap}{description}")?;
                    is_first = false;
                }
                Err(error) => errors.push(error),
            }
        }
    }
    if is_first && errors.is_empty() {
        args.scope.print_nothing_found(targets.iter().map(|target| target.resource), output)?;
    }
    CliError::all(errors)
}

/// The paths of a target's objects.
async fn paths(args: &DescribeArgs, target: &Target, client: &Client) -> Result<Vec<String>, CliError> {
    if !target.names.is_empty() {
        let root = args.scope.path(target.resource);
        return Ok(target.names.iter().map(|name| format!("{root}/{}", escape(name))).collect());
    }
    let parameters: Vec<(&str, &str)> =
        args.selector.iter().map(|text| ("labelSelector", text.as_str())).collect();
    let path = with_query(&args.scope.path(target.resource), &parameters);
    let list: serde_json::Value = client.get(&path).await?;
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let path_of = |item: &serde_json::Value| {
        let metadata = &item["metadata"];
        let root = target.resource.path(metadata["namespace"].as_str());
        format!("{root}/{}", escape(metadata["name"].as_str().unwrap_or_default()))
    };
    Ok(items.iter().map(path_of).collect())
}

async fn describe(kind: ItemKind, path: &str, client: &Client) -> Result<String, CliError> {
    let now = Timestamp::now();
    match kind {
        ItemKind::Pod => {
            let object: Pod = client.get(path).await?;
            let events = events_of("Pod", &object.metadata, client).await?;
            Ok(pod::describe(&object, &events, now))
        }
        ItemKind::DaemonSet => {
            let object: DaemonSet = client.get(path).await?;
            let events = events_of("DaemonSet", &object.metadata, client).await?;
            let pods = pods_of(&object, client).await?;
            Ok(daemon_set::describe(&object, &pods, &events, now))
        }
        ItemKind::Node => {
            let object: Node = client.get(path).await?;
            let events = events_of("Node", &object.metadata, client).await?;
            let unfinished = "status.phase!=Succeeded,status.phase!=Failed";
            let pods: List<Pod> =
                client.get(&with_query(&PODS.path(None), &[("fieldSelector", unfinished)])).await?;
            Ok(node::describe(&object, &pods.items, &events, now))
        }
        ItemKind::Event => {
            Err(CliError::Usage("events are shown whole by `daemonlet get events -o yaml`".to_owned()))
        }
    }
}

async fn events_of(
    kind: &str,
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    client: &Client,
) -> Result<Vec<Event>, CliError> {
    let name = metadata.name.as_deref().unwrap_or_default();
    let mut terms = vec![format!("involvedObject.kind={kind}"), format!("involvedObject.name={name}")];
    terms
        .extend(metadata.namespace.as_ref().map(|namespace| format!("involvedObject.namespace={namespace}")));
    terms.extend(metadata.uid.as_ref().map(|uid| format!("involvedObject.uid={uid}")));
    let path = with_query(&EVENTS.path(None), &[("fieldSelector", &terms.join(","))]);
    Ok(client.get::<List<Event>>(&path).await?.items)
}

/// The pods that a DaemonSet controls, and the kubelet's that were made of it.
pub(super) async fn pods_of(daemon_set: &DaemonSet, client: &Client) -> Result<Vec<Pod>, CliError> {
    let selector =
        daemon_set.spec.as_ref().map(|spec| format_label_selector(&spec.selector)).unwrap_or_default();
    // `<none>` selects nothing, and is no selector.
    if LabelSelector::parse(&selector).is_err() {
        return Ok(Vec::new());
    }
    let path = with_query(
        &PODS.path(daemon_set.metadata.namespace.as_deref()),
        &[("labelSelector", selector.as_str())],
    );
    let pods = client.get::<List<Pod>>(&path).await?.items;
    let key = format!(
        "{}/{}",
        daemon_set.metadata.namespace.as_deref().unwrap_or_default(),
        daemon_set.metadata.name.as_deref().unwrap_or_default()
    );
    let is_ours = |pod: &Pod| {
        // A kubelet's static pod has no owner; it says of which DaemonSet it was made.
        if pod.metadata.annotations.as_ref().and_then(|all| all.get(HANDED_OVER)) == Some(&key) {
            return true;
        }
        let mut owners = pod.metadata.owner_references.iter().flatten();
        owners.any(|owner| {
            owner.controller == Some(true) && Some(&owner.uid) == daemon_set.metadata.uid.as_ref()
        })
    };
    Ok(pods.into_iter().filter(is_ours).collect())
}
