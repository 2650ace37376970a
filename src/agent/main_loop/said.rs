//! What the store, the node's file and this machine say, passed on to those whom it concerns.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use tracing::info;

use super::Agent;
use crate::agent::host;
use crate::manifest::{Kind, Object, Objects};
use crate::node::host::Host as Machine;
use crate::node::{self, Edit, HostFacts, RewriteError};

impl Agent {
    /// Passes on what the store says now.
    pub(super) fn take_snapshot(&mut self) {
        let snapshot = Arc::clone(&self.store.snapshots.borrow_and_update());
        let node = match snapshot.objects.get(Kind::Node, "", self.name.as_str()) {
            Some(Object::Node(found)) => Some(Arc::new(Node::clone(found))),
            _ => None,
        };
        let passed_on = self.store_node.send_if_modified(|shown| {
            let changed = *shown != node;
            *shown = node;
            changed
        });
        self.node_pending |= passed_on;
        let node_problems = self.node_problems.borrow_and_update().clone();
        self.store_news.tell(&snapshot, node_problems);
        let objects = pod_objects(&snapshot.objects);
        self.objects.send_if_modified(|shown| {
            let changed = **shown != objects;
            if changed {
                *shown = Arc::new(objects);
            }
            changed
        });
    }

    /// Has `node.yaml` say something else. The watch on it does the rest.
    pub(super) fn edit_node(&self, edit: &Edit) -> Result<(), RewriteError> {
        info!(?edit, "a client of the API changes the node");
        let shown = self.board.node().unwrap_or_default();
        node::rewrite(&self.node_files, &self.name, self.store_node.borrow().as_deref(), &shown, edit)
    }

    pub(super) fn take_node(&mut self) {
        self.node_pending = false;
        self.board.put_node(Node::clone(&self.reconciler.node.borrow()));
    }

    /// Takes note of addresses and a resolver that have come or changed: a node may boot long before its network.
    pub(super) fn look_at_host(&self) {
        let addresses = match self.settings.node_ips.as_slice() {
            [] => Machine::new("/").addresses(),
            configured => configured.to_vec(),
        };
        let host = host::refreshed(&self.host.borrow(), &self.settings, &addresses);
        self.facts.send_if_modified(|facts| {
            let changed = facts.addresses != addresses;
            if changed {
                info!(?addresses, "the node's addresses have changed");
                *facts = Arc::new(HostFacts { addresses, ..HostFacts::clone(facts) });
            }
            changed
        });
        self.host.send_if_modified(|known| {
            let changed = **known != host;
            if changed {
                *known = Arc::new(host);
            }
            changed
        });
    }
}

/// The objects that pods take their contents from. Others don't concern a pod that runs.
fn pod_objects(objects: &Objects) -> Objects {
    let concerns =
        |kind| matches!(kind, Kind::ConfigMap | Kind::Secret | Kind::RuntimeClass | Kind::PriorityClass);
    Objects(
        objects
            .0
            .iter()
            .filter(|(key, _)| concerns(key.kind))
            .map(|(key, it)| (key.clone(), it.clone()))
            .collect(),
    )
}
