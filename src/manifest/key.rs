//! What identifies an object: its kind, namespace and name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds that daemonlet reads. Every other kind in a manifest is set aside with a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `apps/v1` DaemonSet
    DaemonSet,
    /// `v1` ConfigMap
    ConfigMap,
    /// `v1` Secret
    Secret,
    /// `v1` Node
    Node,
    /// `v1` Namespace
    Namespace,
    /// `scheduling.k8s.io/v1` PriorityClass
    PriorityClass,
    /// `node.k8s.io/v1` RuntimeClass
    RuntimeClass,
    /// `apps/v1` ControllerRevision
    ControllerRevision,
}

impl Kind {
    /// All kinds, in the order in which lists show them.
    pub const ALL: [Kind; 8] = [
        Kind::DaemonSet,
        Kind::ConfigMap,
        Kind::Secret,
        Kind::Node,
        Kind::Namespace,
        Kind::PriorityClass,
        Kind::RuntimeClass,
        Kind::ControllerRevision,
    ];

    /// The `kind` as manifests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::DaemonSet => "DaemonSet",
            Kind::ConfigMap => "ConfigMap",
            Kind::Secret => "Secret",
            Kind::Node => "Node",
            Kind::Namespace => "Namespace",
            Kind::PriorityClass => "PriorityClass",
            Kind::RuntimeClass => "RuntimeClass",
            Kind::ControllerRevision => "ControllerRevision",
        }
    }

    /// The one `apiVersion` under which daemonlet reads this kind.
    pub const fn api_version(self) -> &'static str {
        match self {
            Kind::DaemonSet | Kind::ControllerRevision => "apps/v1",
            Kind::ConfigMap | Kind::Secret | Kind::Node | Kind::Namespace => "v1",
            Kind::PriorityClass => "scheduling.k8s.io/v1",
            Kind::RuntimeClass => "node.k8s.io/v1",
        }
    }

    /// Whether objects of this kind live in a namespace.
    pub const fn is_namespaced(self) -> bool {
        matches!(self, Kind::DaemonSet | Kind::ConfigMap | Kind::Secret | Kind::ControllerRevision)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One object among all that the store may hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// What it is.
    pub kind: Kind,
    /// Its namespace; empty for kinds without one.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// One DaemonSet: its namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DaemonSetKey {
    /// `metadata.namespace`, never empty
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
}

impl fmt::Display for DaemonSetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
