use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Event;

use super::*;
use crate::board::collection::Collection;

/// The log and the board's Events, as the board keeps them.
struct Kept {
    log: EventLog,
    events: Collection<Event>,
    version: u64,
}

impl Kept {
    fn new() -> Self {
        Self { log: EventLog::default(), events: Collection::starting_at(0), version: 0 }
    }

    /// Records what happened to `subject`, at a second of the monotonic clock. Whether it was told.
    fn record(&mut self, subject: &str, message: &str, now: u64) -> bool {
        self.record_draft(happened(subject, "Unhealthy", message), now)
    }

    fn record_draft(&mut self, draft: EventDraft, now: u64) -> bool {
        let now = Duration::from_secs(now);
        let recorded = self.log.record(draft, BTreeMap::new(), now, "node-1", &self.events);
        let Some(recorded) = recorded else { return false };
        self.version += 1;
        self.events.put(recorded.event, self.version);
        recorded.expired.iter().for_each(|name| self.remove(name));
        true
    }

    fn expire(&mut self, now: u64) {
        self.log.expire(Duration::from_secs(now)).iter().for_each(|name| self.remove(name));
    }

    fn remove(&mut self, name: &NamespacedName) {
        self.version += 1;
        self.events.remove(name, self.version);
    }

    /// Message and count of each, in the order of their names.
    fn told(&self) -> Vec<(String, i32)> {
        self.events
            .iter()
            .map(|event| (event.message.clone().unwrap_or_default(), event.count.unwrap_or_default()))
            .collect()
    }
}

fn happened(subject: &str, reason: &str, message: &str) -> EventDraft {
    let regarding = ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: Some("default".to_owned()),
        name: Some(subject.to_owned()),
        ..ObjectReference::default()
    };
    EventDraft {
        regarding,
        kind: EventKind::Warning,
        reason: reason.to_owned(),
        message: message.to_owned(),
        component: "kubelet",
        // As a clock that nobody has set: what is kept for how long must not depend on it.
        at: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn from_the_tenth_different_message_on_similar_events_become_one() {
    let mut kept = Kept::new();
    for n in 0..14 {
        assert!(kept.record("a", &format!("it is {n} o'clock"), n * 10));
    }
    let told = kept.told();
    assert_eq!(told.len(), 10);
    assert_eq!(told[8], ("it is 8 o'clock".to_owned(), 1));
    assert_eq!(told[9], ("(combined from similar events): it is 13 o'clock".to_owned(), 5));
    assert!(kept.record("a", "it is 3 o'clock", 150), "one that was told before is counted");
    assert_eq!(kept.told()[3], ("it is 3 o'clock".to_owned(), 2));
    kept.record_draft(happened("a", "BackOff", "another reason"), 150);
    kept.record("b", "another pod", 150);
    assert_eq!(kept.told().len(), 12);
}

#[test]
fn after_ten_quiet_minutes_messages_are_told_one_by_one_again() {
    let mut kept = Kept::new();
    for n in 0..12 {
        kept.record("a", &format!("m{n}"), 0);
    }
    kept.record("a", "m12", 600);
    assert_eq!(kept.told().len(), 10);
    kept.record("a", "m13", 1201);
    assert_eq!(kept.told().last(), Some(&("m13".to_owned(), 1)));
}

#[test]
fn of_more_than_a_burst_about_one_object_only_the_count_is_kept() {
    let mut kept = Kept::new();
    for n in 0..40 {
        assert_eq!(kept.record("a", "failed", n), n < 25, "{n}");
    }
    assert_eq!(kept.told(), [("failed".to_owned(), 25)]);
    assert!(!kept.record_draft(happened("a", "BackOff", "of another reason"), 40));
    let informative = EventDraft { kind: EventKind::Normal, ..happened("a", "Pulled", "for information") };
    assert!(kept.record_draft(informative, 40));
    assert!(kept.record("b", "failed", 40));
    assert!(kept.record("a", "failed", 300));
    assert!(kept.told().contains(&("failed".to_owned(), 41)));
}

#[test]
fn an_hour_after_it_was_last_told_an_event_goes_whatever_the_wall_clock_says() {
    let mut kept = Kept::new();
    kept.record("a", "old", 0);
    kept.record("a", "told again", 0);
    let later = EventDraft { at: Timestamp::MAX, ..happened("a", "Unhealthy", "told again") };
    kept.record_draft(later, 1800);
    kept.expire(3600);
    assert_eq!(kept.told().len(), 2);
    kept.expire(3601);
    assert_eq!(kept.told(), [("told again".to_owned(), 2)]);
    kept.record("a", "old", 3602);
    assert!(kept.told().contains(&("old".to_owned(), 1)), "and is a new one when it comes again");
}

#[test]
fn events_are_bounded_and_the_one_not_told_for_longest_goes_first() {
    let mut kept = Kept::new();
    for n in 0..=MAX_EVENTS {
        kept.record(&format!("pod-{n}"), &format!("m{n}"), 0);
    }
    let told = kept.told();
    assert_eq!(told.len(), MAX_EVENTS);
    assert!(!told.iter().any(|(message, _)| message == "m0"));
}
