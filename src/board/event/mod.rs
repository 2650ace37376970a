//! Kubernetes Events: drafts become `v1` Events.
//!
//! Which of them become one, and which are too many, is for `log` and `flood`. Rule: client-go's `tools/record/event.go` (how one is named).

mod flood;
mod log;
#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use super::NamespacedName;
pub(super) use log::EventLog;

/// How long an event is kept after it was last told, by the monotonic clock.
pub const EVENT_TTL: Duration = Duration::from_secs(60 * 60);
/// How many events are kept; the one not told for longest goes first.
pub const MAX_EVENTS: usize = 1000;

/// The `type` of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// For information.
    Normal,
    /// Somebody may have to act.
    Warning,
}

impl EventKind {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        }
    }
}

/// What becomes of something that was to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// It is told: as a new Event, or counted.
    Told,
    /// There is too much about this object: it is at most counted, and not told now.
    TooMuch,
}

/// Something that happened to an object.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDraft {
    /// The object, and by `fieldPath` the part of it that is meant.
    pub regarding: ObjectReference,
    /// Whether somebody may have to act.
    pub kind: EventKind,
    /// A CamelCase word for machines, as Kubernetes has it (`BackOff`, `FailedMount`).
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Who reports it (`kubelet`, `daemonset-controller`).
    pub component: &'static str,
    /// When it happened.
    pub at: Timestamp,
}

/// A reference to an object, for the `regarding` of an event.
pub fn reference_to<T: Metadata<Ty = ObjectMeta>>(object: &T) -> ObjectReference {
    let metadata = object.metadata();
    ObjectReference {
        api_version: Some(T::API_VERSION.to_owned()),
        kind: Some(T::KIND.to_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// A reference to one of a pod's containers: to the pod with the container's field path.
pub fn reference_to_container(pod: &Pod, container: &str) -> ObjectReference {
    let is_init = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.init_containers.as_ref())
        .is_some_and(|containers| containers.iter().any(|init| init.name == container));
    let list = if is_init { "initContainers" } else { "containers" };
    ObjectReference { field_path: Some(format!("spec.{list}{{{container}}}")), ..reference_to(pod) }
}

fn new_event(draft: EventDraft, host: &str, is_taken: impl Fn(&NamespacedName) -> bool) -> Event {
    let regarding = draft.regarding;
    let subject = regarding.name.clone().unwrap_or_default();
    // The API server refuses events outside the object's namespace; those of a Node live in `default`.
    let namespace =
        regarding.namespace.clone().filter(|ns| !ns.is_empty()).unwrap_or_else(|| "default".to_owned());
    let mut stamp = draft.at.as_nanosecond();
    let name = loop {
        let name = NamespacedName { namespace: namespace.clone(), name: format!("{subject}.{stamp:x}") };
        if !is_taken(&name) {
            break name.name;
        }
        stamp += 1;
    };
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace),
            creation_timestamp: Some(Time(draft.at)),
            ..ObjectMeta::default()
        },
        involved_object: regarding,
        reason: Some(draft.reason),
        message: Some(draft.message),
        type_: Some(draft.kind.as_str().to_owned()),
        count: Some(1),
        first_timestamp: Some(Time(draft.at)),
        last_timestamp: Some(Time(draft.at)),
        source: Some(EventSource {
            component: Some(draft.component.to_owned()),
            host: Some(host.to_owned()),
        }),
        reporting_component: Some(draft.component.to_owned()),
        reporting_instance: Some(host.to_owned()),
        ..Event::default()
    }
}
