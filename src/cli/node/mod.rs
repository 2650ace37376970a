//! The verbs that change the node: what they say goes into its `node.yaml`, by way of the API.

pub(super) mod cordon;
pub(super) mod drain;
pub(super) mod label;
pub(super) mod taint;

use hyper::Method;
use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::Value;

use super::client::{Client, STRATEGIC_MERGE_PATCH};
use super::error::CliError;
use super::target::targets;
use crate::api::resource::NODES;

/// The one node that the agent knows, of this name if one is given.
async fn get(name: Option<&str>, client: &Client) -> Result<Node, CliError> {
    if let Some(name) = name {
        let name = name.strip_prefix("node/").or_else(|| name.strip_prefix("nodes/")).unwrap_or(name);
        return client.get(&format!("{}/{name}", NODES.path(None))).await;
    }
    let list: Value = client.get(&NODES.path(None)).await?;
    match list["items"].as_array().and_then(|items| items.first()) {
        Some(node) => Ok(serde_json::from_value(node.clone())?),
        None => Err(CliError::Answer("the agent knows no node yet".to_owned())),
    }
}

async fn patch(node: &Node, change: &Value, client: &Client) -> Result<Node, CliError> {
    let path = format!("{}/{}", NODES.path(None), name_of(node));
    let body = change.to_string().into_bytes();
    client.send(Method::PATCH, &path, (STRATEGIC_MERGE_PATCH, body)).await
}

fn name_of(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

fn taints_of(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

/// The node's name among the words before the changes: `node NAME`, `nodes NAME` or `node/NAME`.
fn named(words: &[String]) -> Result<String, CliError> {
    let usage = |problem: &str| Err(CliError::Usage(problem.to_owned()));
    if words.is_empty() {
        return usage("one or more resources must be specified as <resource> <name>");
    }
    let mut names = Vec::new();
    for target in targets(words)? {
        if target.resource != &NODES {
            let kind = target.resource.plural;
            return Err(CliError::Usage(format!(
                "invalid resource type {kind}, only node types are supported: what else there is, the store says"
            )));
        }
        names.extend(target.names);
    }
    match names.as_slice() {
        [name] => Ok(name.clone()),
        [] => usage("one or more resources must be specified as <resource> <name>"),
        _ => usage("there is one node here, and more than one is named"),
    }
}
