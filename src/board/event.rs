//! Kubernetes Events: drafts become `v1` Events, identical ones become one that counts.
//!
//! Rule: client-go's `tools/record/events_cache.go` (what makes two events identical) and `event.go` (how one is named). The
//! board keeps a bounded number of them for an hour, as the API server does by default.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use super::NamespacedName;
use super::collection::Collection;

/// How long an event is kept after it was last seen.
pub const EVENT_TTL: Duration = Duration::from_secs(60 * 60);
/// How many events are kept; the one not seen for longest goes first.
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

/// What two events have in common that are told as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Signature {
    object: [Option<String>; 6],
    kind: EventKind,
    reason: String,
    message: String,
    component: &'static str,
}

impl Signature {
    fn of(draft: &EventDraft) -> Self {
        let regarding = &draft.regarding;
        Self {
            object: [
                regarding.api_version.clone(),
                regarding.kind.clone(),
                regarding.namespace.clone(),
                regarding.name.clone(),
                regarding.uid.clone(),
                regarding.field_path.clone(),
            ],
            kind: draft.kind,
            reason: draft.reason.clone(),
            message: draft.message.clone(),
            component: draft.component,
        }
    }
}

/// Which events are there, in the order in which they were last seen.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    names: HashMap<u64, NamespacedName>,
    seen: VecDeque<(u64, Timestamp)>,
}

/// What is to be done to the events on the board.
#[derive(Debug)]
pub(super) struct Recorded {
    /// The event, new or counted once more.
    pub(super) event: Event,
    /// Events that have had their time.
    pub(super) expired: Vec<NamespacedName>,
}

impl EventLog {
    /// Turns a draft into a new Event, or into the known one counted once more. Annotations are those of the last time.
    pub(super) fn record(
        &mut self,
        draft: EventDraft,
        annotations: BTreeMap<String, String>,
        host: &str,
        known: &Collection<Event>,
    ) -> Recorded {
        let signature = hash_of(&Signature::of(&draft));
        let at = draft.at;
        let repeated = self.names.get(&signature).and_then(|name| known.get(name));
        let mut event = match repeated {
            Some(event) => Event {
                count: Some(event.count.unwrap_or(1).saturating_add(1)),
                last_timestamp: Some(Time(at)),
                ..Arc::unwrap_or_clone(event)
            },
            None => new_event(draft, host, |name| known.contains(name)),
        };
        event.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
        self.names.insert(signature, NamespacedName::of(&event.metadata));
        self.seen.retain(|(other, _)| *other != signature);
        self.seen.push_back((signature, at));
        let mut expired = self.expire(at);
        if self.seen.len() > MAX_EVENTS {
            expired.extend(self.pop_oldest());
        }
        Recorded { event, expired }
    }

    /// Forgets the events whose time has passed, and says which they were.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<NamespacedName> {
        let mut expired = Vec::new();
        while let Some((_, seen)) = self.seen.front()
            && now.duration_since(*seen).unsigned_abs() > EVENT_TTL
            && now > *seen
        {
            expired.extend(self.pop_oldest());
        }
        expired
    }

    fn pop_oldest(&mut self) -> Option<NamespacedName> {
        let (signature, _) = self.seen.pop_front()?;
        self.names.remove(&signature)
    }
}

/// Signatures are compared by their hash: 64 bits among a thousand events, and what a collision costs is one merged line.
fn hash_of(signature: &Signature) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    signature.hash(&mut hasher);
    hasher.finish()
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
