//! What the agent says of itself: its store, its runtime, and what keeps it from being ready.

use std::collections::BTreeMap;

use crate::manifest::Problem;
use crate::store::{Freshness, HeldRemovals, IgnoredFile};

/// How the store is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Where the manifests come from, as the configuration names it.
    pub source: String,
    /// Whether what is used is what the store says now.
    pub freshness: Freshness,
    /// Why the store is not trusted, where it has to be and is not.
    pub refused: Option<String>,
    /// Everything wrong or noteworthy, in file order.
    pub problems: Vec<Problem>,
    /// Files that are no manifests by their name or type.
    pub ignored: Vec<IgnoredFile>,
    /// How many good objects there are.
    pub objects: usize,
    /// What is gone from the store and kept all the same, if that is so.
    pub held: Option<HeldRemovals>,
}

/// The container runtime, as it last answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeStatus {
    /// The runtime's socket.
    pub endpoint: String,
    /// The runtime's name and version (`containerd://2.0.5`); empty before it has answered once.
    pub version: String,
    /// Why it can't be used now, and what to do; nothing if it can.
    pub problem: Option<String>,
}

/// What must have happened before the agent is ready, and has not yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    conditions: BTreeMap<&'static str, Option<String>>,
}

impl Readiness {
    pub(super) fn set(&mut self, condition: &'static str, pending: Option<String>) {
        self.conditions.insert(condition, pending);
    }

    /// Whether every condition is met. With none named yet the agent has not begun: it is not ready.
    pub fn is_ready(&self) -> bool {
        !self.conditions.is_empty() && self.conditions.values().all(Option::is_none)
    }

    /// Each condition by name, with what it waits for unless it is met.
    pub fn conditions(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        self.conditions.iter().map(|(name, pending)| (*name, pending.as_deref()))
    }
}
