//! The node as the agent would know it, described without a runtime: for `daemonlet plan`.
//!
//! Either this machine, or any node by its Node object: then name, labels, taints, capacity and addresses are the object's, and what a
//! Node doesn't tell (kernel, cgroup version, resolver) is this machine's. The runtime is taken for one that says nothing of itself.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::Timestamp;

use super::amounts;
use super::host::{RuntimeFacts, describe};
use crate::config::Settings;
use crate::cri::translate::Host;
use crate::manifest::{self, Kind, Object, Objects};
use crate::node::host::Host as Machine;
use crate::node::{
    HostError, HostFacts, Inputs, NodeName, Pressure, Readiness, Runtime, THIS_NODE, effective,
};

/// A node, as placement and the translation to requests see it.
#[derive(Debug, Clone)]
pub struct OfflineNode {
    /// For placement.
    pub node: Node,
    /// For requests.
    pub host: Host,
    /// What the node gives to pods.
    pub allocatable: BTreeMap<String, Quantity>,
}

/// This machine, with the Nodes that its `nodeFile` and `objects` hold laid over it.
///
/// # Errors
/// The machine can't be read.
pub fn this_machine(settings: &Settings, objects: &Objects) -> Result<OfflineNode, HostError> {
    let machine = Machine::new("/");
    let name = match &settings.node_name {
        Some(name) => name.clone(),
        None => machine.node_name()?,
    };
    let facts = machine.facts(&settings.root_dir, &settings.node_ips)?;
    let file = written_node(&settings.node_file, &name);
    let store = match objects.get(Kind::Node, "", name.as_str()) {
        Some(Object::Node(node)) => Some(node.as_ref()),
        _ => None,
    };
    let now = Timestamp::default();
    let runtime = Runtime {
        version: String::new(),
        readiness: Readiness::Ready,
        going_down: false,
        since: now,
        started: now,
    };
    let resources = &settings.resources;
    let node = effective(Inputs {
        name: &name,
        file: file.as_ref(),
        store,
        facts: &facts,
        resources,
        runtime: &runtime,
        pressure: &Pressure::none(now),
    });
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default();
    Ok(offline(settings, node, &facts, allocatable))
}

/// The node that a Node object describes; nothing of this machine's labels is added.
///
/// # Errors
/// The machine can't be read.
pub fn described(settings: &Settings, node: Node) -> Result<OfflineNode, HostError> {
    let mut facts = Machine::new("/").facts(&settings.root_dir, &settings.node_ips)?;
    let status = node.status.clone().unwrap_or_default();
    let capacity = status.capacity.unwrap_or_else(|| {
        let cpus = Quantity(facts.cpus.to_string());
        let memory = Quantity(facts.memory_bytes.to_string());
        BTreeMap::from([("cpu".to_owned(), cpus), ("memory".to_owned(), memory)])
    });
    facts.memory_bytes = u64::try_from(amounts(&capacity).memory_bytes).unwrap_or(facts.memory_bytes);
    let addresses = status.addresses.iter().flatten().filter(|address| address.type_ == "InternalIP");
    let addresses: Vec<IpAddr> = addresses.filter_map(|address| address.address.parse().ok()).collect();
    if !addresses.is_empty() {
        facts.addresses = addresses;
    }
    let allocatable = status.allocatable.unwrap_or(capacity);
    Ok(offline(settings, node, &facts, allocatable))
}

fn offline(
    settings: &Settings,
    node: Node,
    facts: &HostFacts,
    allocatable: BTreeMap<String, Quantity>,
) -> OfflineNode {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let host = describe(settings, name, facts, amounts(&allocatable), RuntimeFacts::default());
    OfflineNode { node, host, allocatable }
}

fn written_node(file: &Path, name: &NodeName) -> Option<Node> {
    let reading = manifest::read(file, &fs::read(file).ok()?);
    reading.objects.into_iter().find_map(|stored| match stored.object {
        Object::Node(node) if is_of(&node, name) => Some(*node),
        _ => None,
    })
}

fn is_of(node: &Node, name: &NodeName) -> bool {
    node.metadata.name.as_deref().is_some_and(|found| found == name.as_str() || found == THIS_NODE)
}
