//! What the node can give, less what its pods have.
//!
//! Rule: `fitsRequest` in `noderesources/fit.go`: a request that comes out exactly fits; one for nothing fits a node that is overcommitted
//! already; a resource that the node doesn't have counts as none of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;

use super::{Demand, HostPort};
use crate::manifest::Quantity;

/// What the node can give to all pods together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocatable {
    /// CPU in thousandths, anything else in whole units.
    amounts: BTreeMap<String, i64>,
}

impl Allocatable {
    /// As the node's status has it.
    pub fn of(node: &Node) -> Self {
        let list = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let amounts = list.into_iter().flatten().filter_map(|(name, text)| {
            let quantity = text.0.parse::<Quantity>().ok()?;
            let amount = if name == "cpu" { quantity.milli_value() } else { quantity.value() };
            Some((name.clone(), amount))
        });
        Self { amounts: amounts.collect() }
    }

    fn amount(&self, resource: &str) -> i64 {
        self.amounts.get(resource).copied().unwrap_or_default()
    }
}

/// Something that a pod lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortage {
    /// The node has as many pods as it takes.
    Pods,
    /// There is not enough of a resource.
    Resource {
        /// Its name.
        name: String,
        /// Whether the pod asks for more than the node can give to all pods together.
        beyond: bool,
    },
    /// Another pod has the port.
    Port(HostPort),
}

/// The node with pods on it.
#[derive(Debug, Clone)]
pub struct Room<'a> {
    allocatable: &'a Allocatable,
    pods: i64,
    used: BTreeMap<String, i64>,
    ports: Vec<HostPort>,
}

impl<'a> Room<'a> {
    /// The empty node.
    pub fn new(allocatable: &'a Allocatable) -> Self {
        Self { allocatable, pods: 0, used: BTreeMap::new(), ports: Vec::new() }
    }

    /// Puts a pod in.
    pub fn take(&mut self, demand: &Demand) {
        self.pods += 1;
        for (name, amount) in &demand.amounts {
            let used = self.used.entry(name.clone()).or_default();
            *used = used.saturating_add(*amount);
        }
        self.ports.extend(demand.ports.iter().cloned());
    }

    /// Takes a pod out that was put in.
    pub fn give_back(&mut self, demand: &Demand) {
        self.pods -= 1;
        for (name, amount) in &demand.amounts {
            if let Some(used) = self.used.get_mut(name) {
                *used = used.saturating_sub(*amount);
            }
        }
        for port in &demand.ports {
            if let Some(index) = self.ports.iter().position(|held| held == port) {
                self.ports.swap_remove(index);
            }
        }
    }

    /// All that one more pod would lack; nothing if it fits.
    pub fn shortages(&self, demand: &Demand) -> Vec<Shortage> {
        let mut shortages = Vec::new();
        if self.pods + 1 > self.allocatable.amount("pods") {
            shortages.push(Shortage::Pods);
        }
        for (name, amount) in &demand.amounts {
            let all = self.allocatable.amount(name);
            let used = self.used.get(name).copied().unwrap_or_default();
            if *amount > all.saturating_sub(used) {
                shortages.push(Shortage::Resource { name: name.clone(), beyond: *amount > all });
            }
        }
        let is_held = |port: &&HostPort| self.ports.iter().any(|held| held.conflicts_with(port));
        shortages.extend(demand.ports.iter().filter(is_held).cloned().map(Shortage::Port));
        shortages
    }

    /// Whether one more pod fits.
    pub fn fits(&self, demand: &Demand) -> bool {
        self.shortages(demand).is_empty()
    }
}
