//! The node as the agent would know it, described without a runtime: for `daemonlet plan`, and for an agent that stands by.
//!
//! Either this machine, or any node by its Node object: then name, labels, taints, capacity and addresses are the object's, and what a
//! Node doesn't tell (kernel, cgroup version, resolver) is this machine's. The runtime is taken for one that says nothing of itself.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::Timestamp;
use thiserror::Error;

use super::amounts;
use super::host::{RuntimeFacts, describe};
use super::reconcile::key_of;
use crate::config::Settings;
use crate::cri::translate::Host;
use crate::manifest::{self, Kind, Object, Objects};
use crate::node::host::Host as Machine;
use crate::node::{
    HostError, HostFacts, Inputs, NodeName, Pressure, Readiness, Runtime, THIS_NODE, effective,
};
use crate::pod::blueprint::Blueprint;
use crate::pod::classes::Classes;
use crate::pod::identity::{self, Incarnation};
use crate::pod::requests::marks;
use crate::rollout::revision_of;

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

/// The first pod that a node would have of a DaemonSet.
#[derive(Debug, Clone)]
pub struct FirstPod {
    /// The pod.
    pub pod: Pod,
    /// The labels by which what the runtime has of it is known.
    pub marks: BTreeMap<String, String>,
}

/// Why no pod can be made of a DaemonSet.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct NotMade {
    /// The field of the DaemonSet.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl OfflineNode {
    /// The first pod that this node would have of a DaemonSet, as the agent would make it.
    ///
    /// # Errors
    /// When it names a class that is not among `objects`.
    pub fn first_pod(&self, daemon_set: &DaemonSet, objects: &Objects) -> Result<FirstPod, NotMade> {
        let not_made = |field, problem: &dyn fmt::Display| NotMade { field, problem: problem.to_string() };
        let Some(spec) = daemon_set.spec.as_ref() else { return Err(not_made("spec", &"there is none")) };
        let pod_spec = spec.template.spec.clone().unwrap_or_default();
        let classes = Classes::of(&pod_spec, objects).map_err(|error| not_made(error.field(), &error))?;
        let key = key_of(daemon_set);
        let (revision, incarnation) = (revision_of(&spec.template), Incarnation(1));
        let node_name = self.host.node_name.as_str();
        let identity = identity::derive(node_name, &key, &revision, incarnation);
        let pod = Blueprint {
            daemon_set,
            template: &spec.template,
            revision_hash: revision.as_str(),
            template_generation: Some(1),
            name: &identity.name,
            uid: identity.uid.as_str(),
            node_name,
            classes,
        }
        .pod();
        Ok(FirstPod { pod, marks: marks(node_name, &key, &revision, incarnation) })
    }
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
        created: now,
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
