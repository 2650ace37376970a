//! The objects on the board, whatever their kind, and what names one.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, Serializer};

/// The kinds on the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant is the kind of its name")]
pub enum ItemKind {
    DaemonSet,
    Event,
    Node,
    Pod,
}

/// One object as it was at one resource version. Cloning shares the object.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is the kind of its name")]
pub enum Item {
    DaemonSet(Arc<DaemonSet>),
    Event(Arc<Event>),
    Node(Arc<Node>),
    Pod(Arc<Pod>),
}

impl Item {
    /// The object's kind.
    pub const fn kind(&self) -> ItemKind {
        match self {
            Item::DaemonSet(_) => ItemKind::DaemonSet,
            Item::Event(_) => ItemKind::Event,
            Item::Node(_) => ItemKind::Node,
            Item::Pod(_) => ItemKind::Pod,
        }
    }

    /// The object's metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Item::DaemonSet(object) => &object.metadata,
            Item::Event(object) => &object.metadata,
            Item::Node(object) => &object.metadata,
            Item::Pod(object) => &object.metadata,
        }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// The object's namespace; empty for a Node.
    pub fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Item::DaemonSet(object) => object.serialize(serializer),
            Item::Event(object) => object.serialize(serializer),
            Item::Node(object) => object.serialize(serializer),
            Item::Pod(object) => object.serialize(serializer),
        }
    }
}

macro_rules! item_from {
    ($($kind:ident),*) => {$(
        impl From<Arc<$kind>> for Item {
            fn from(object: Arc<$kind>) -> Self {
                Item::$kind(object)
            }
        }
    )*};
}

item_from!(DaemonSet, Event, Node, Pod);

/// Names one object among those of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespacedName {
    /// Its namespace; empty for a Node.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl NamespacedName {
    /// The name of this object.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}
