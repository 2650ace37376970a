//! A decoded, defaulted and validated object, and the place it was read from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Secret};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Kind, ObjectKey};

/// An object of one of the kinds that daemonlet reads, with defaults filled in.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is the kind of its name")]
pub enum Object {
    DaemonSet(Box<DaemonSet>),
    ConfigMap(ConfigMap),
    Secret(Secret),
    Node(Box<Node>),
    Namespace(Namespace),
    PriorityClass(PriorityClass),
    RuntimeClass(RuntimeClass),
    ControllerRevision(ControllerRevision),
}

impl Object {
    /// The object's kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Object::DaemonSet(_) => Kind::DaemonSet,
            Object::ConfigMap(_) => Kind::ConfigMap,
            Object::Secret(_) => Kind::Secret,
            Object::Node(_) => Kind::Node,
            Object::Namespace(_) => Kind::Namespace,
            Object::PriorityClass(_) => Kind::PriorityClass,
            Object::RuntimeClass(_) => Kind::RuntimeClass,
            Object::ControllerRevision(_) => Kind::ControllerRevision,
        }
    }

    /// The object's metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Object::DaemonSet(o) => &o.metadata,
            Object::ConfigMap(o) => &o.metadata,
            Object::Secret(o) => &o.metadata,
            Object::Node(o) => &o.metadata,
            Object::Namespace(o) => &o.metadata,
            Object::PriorityClass(o) => &o.metadata,
            Object::RuntimeClass(o) => &o.metadata,
            Object::ControllerRevision(o) => &o.metadata,
        }
    }

    /// The object's metadata, to change it.
    pub(super) fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Object::DaemonSet(o) => &mut o.metadata,
            Object::ConfigMap(o) => &mut o.metadata,
            Object::Secret(o) => &mut o.metadata,
            Object::Node(o) => &mut o.metadata,
            Object::Namespace(o) => &mut o.metadata,
            Object::PriorityClass(o) => &mut o.metadata,
            Object::RuntimeClass(o) => &mut o.metadata,
            Object::ControllerRevision(o) => &mut o.metadata,
        }
    }

    /// What identifies the object.
    pub fn key(&self) -> ObjectKey {
        let metadata = self.metadata();
        ObjectKey {
            kind: self.kind(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// Where a document begins: the file and its first line, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file, as the user would name it (`-` for standard input).
    pub file: Arc<Path>,
    /// The document's first line.
    pub line: u32,
}

/// An object together with where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Where it was read.
    pub origin: Origin,
    /// What was read.
    pub object: Object,
}

/// A set of good objects, each once. Pods find their ConfigMaps and Secrets here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objects(pub BTreeMap<ObjectKey, Arc<Stored>>);

impl Objects {
    /// The ConfigMap of this namespace and name.
    pub fn config_map(&self, namespace: &str, name: &str) -> Option<&ConfigMap> {
        match self.get(Kind::ConfigMap, namespace, name)? {
            Object::ConfigMap(found) => Some(found),
            _ => None,
        }
    }

    /// The Secret of this namespace and name.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<&Secret> {
        match self.get(Kind::Secret, namespace, name)? {
            Object::Secret(found) => Some(found),
            _ => None,
        }
    }

    /// The object of this kind, namespace (empty for kinds without) and name.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        let key = ObjectKey { kind, namespace: namespace.to_owned(), name: name.to_owned() };
        self.0.get(&key).map(|stored| &stored.object)
    }

    /// Every DaemonSet, ordered by namespace and name.
    pub fn daemon_sets(&self) -> impl Iterator<Item = &DaemonSet> {
        self.0.values().filter_map(|stored| match &stored.object {
            Object::DaemonSet(found) => Some(found.as_ref()),
            _ => None,
        })
    }
}
