//! Which Events are there, and until when: identical ones are one that counts, and similar ones become one when they are many.
//!
//! Pure: times are the monotonic clock's, as the wall's may jump. Rule: client-go's `tools/record/events_cache.go` (what makes two Events
//! identical, what becomes of a flood of them). A bounded number is kept for an hour, as the API server does by default.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::flood::{Bursts, Groups};
use super::{EVENT_TTL, EventDraft, MAX_EVENTS, new_event};
use crate::board::NamespacedName;
use crate::board::collection::Collection;

/// Which Events are there, in the order in which they were last told.
#[derive(Debug, Default)]
pub(in crate::board) struct EventLog {
    known: HashMap<u64, Known>,
    told: VecDeque<(u64, Duration)>,
    groups: Groups,
    bursts: Bursts,
}

#[derive(Debug)]
struct Known {
    name: NamespacedName,
    /// How often it has happened since it was last told.
    untold: i32,
}

/// What is to be done to the Events on the board.
#[derive(Debug)]
pub(in crate::board) struct Recorded {
    /// The Event, new or counted once more.
    pub(in crate::board) event: Event,
    /// Events that have had their time.
    pub(in crate::board) expired: Vec<NamespacedName>,
}

impl EventLog {
    /// Turns a draft into a new Event, or into the known one counted once more. Nothing comes of one that is too many; it is counted all
    /// the same, if it is known. Annotations are those of the last time.
    pub(in crate::board) fn record(
        &mut self,
        mut draft: EventDraft,
        annotations: BTreeMap<String, String>,
        now: Duration,
        host: &str,
        there: &Collection<Event>,
    ) -> Option<Recorded> {
        let keys = Keys::of(&draft);
        let mut signature = keys.signature;
        if self.groups.is_another_of_many(keys.group, keys.message, now) {
            draft.message = format!("(combined from similar events): {}", draft.message);
            signature = keys.group;
        }
        if !self.bursts.has_room(keys.source, now) {
            if let Some(known) = self.known.get_mut(&signature) {
                known.untold = known.untold.saturating_add(1);
            }
            return None;
        }
        let repeated = self.known.get(&signature).and_then(|known| Some((there.get(&known.name)?, known)));
        let mut event = match repeated {
            Some((event, known)) => Event {
                count: Some(event.count.unwrap_or(1).saturating_add(known.untold).saturating_add(1)),
                last_timestamp: Some(Time(draft.at)),
                message: Some(draft.message),
                involved_object: draft.regarding,
                ..Arc::unwrap_or_clone(event)
            },
            None => new_event(draft, host, |name| there.contains(name)),
        };
        event.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
        self.known.insert(signature, Known { name: NamespacedName::of(&event.metadata), untold: 0 });
        self.told.retain(|(other, _)| *other != signature);
        self.told.push_back((signature, now));
        let mut expired = self.expire(now);
        if self.told.len() > MAX_EVENTS {
            expired.extend(self.pop_oldest());
        }
        Some(Recorded { event, expired })
    }

    /// Forgets the Events whose time has passed, and says which they were.
    pub(in crate::board) fn expire(&mut self, now: Duration) -> Vec<NamespacedName> {
        self.groups.forget(now);
        self.bursts.forget(now);
        let mut expired = Vec::new();
        while self.told.front().is_some_and(|(_, told)| now.saturating_sub(*told) > EVENT_TTL) {
            expired.extend(self.pop_oldest());
        }
        expired
    }

    fn pop_oldest(&mut self) -> Option<NamespacedName> {
        let (signature, _) = self.told.pop_front()?;
        self.known.remove(&signature).map(|known| known.name)
    }
}

/// What Events have in common, each as a hash: 64 bits among a thousand Events, and what a collision costs is one merged line.
struct Keys {
    /// Who tells it, of which object, and whether somebody may have to act.
    source: u64,
    /// The same, and the reason.
    group: u64,
    message: u64,
    /// All of it, and the part of the object that is meant: such Events are identical.
    signature: u64,
}

impl Keys {
    fn of(draft: &EventDraft) -> Self {
        let regarding = &draft.regarding;
        let object =
            (&regarding.api_version, &regarding.kind, &regarding.namespace, &regarding.name, &regarding.uid);
        let source = hash_of(&(draft.component, draft.kind, object));
        let group = hash_of(&(source, &draft.reason));
        let message = hash_of(&draft.message);
        Self { source, group, message, signature: hash_of(&(group, message, &regarding.field_path)) }
    }
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
