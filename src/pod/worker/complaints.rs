//! What a pod was complained of and when: each thing once, and again after a while, but not each time that it is tried.
//!
//! Bounded: messages of a runtime may hold a time or a number that is another each time.

use std::collections::BTreeMap;
use std::time::Duration;

/// After this long what the pod suffers from is told once more: Events are kept for an hour.
pub(super) const AGAIN: Duration = Duration::from_secs(600);
/// More different complaints than this are not remembered; the oldest is forgotten, and may be told once more.
const MOST: usize = 16;

/// The complaints of one pod.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<String, Duration>);

impl Complaints {
    /// Whether this is to be told now; it counts as told then.
    pub(super) fn is_due(&mut self, message: &str, now: Duration) -> bool {
        self.0.retain(|_, told| now.saturating_sub(*told) < AGAIN);
        if self.0.contains_key(message) {
            return false;
        }
        let oldest = self.0.iter().min_by_key(|(_, told)| **told).map(|(message, _)| message.clone());
        if let Some(oldest) = oldest.filter(|_| self.0.len() >= MOST) {
            self.0.remove(&oldest);
        }
        self.0.insert(message.to_owned(), now);
        true
    }

    /// Forgets everything: what was complained of is over.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_complaint_is_told_once_and_again_after_ten_minutes_or_once_it_was_over() {
        let mut complaints = Complaints::default();
        for (message, now, expected) in [
            ("a", 0, true),
            ("a", 10, false),
            ("b", 10, true),
            ("a", 599, false),
            ("a", 600, true),
            ("b", 601, false),
        ] {
            assert_eq!(complaints.is_due(message, s(now)), expected, "{message} {now}");
        }
        complaints.clear();
        assert!(complaints.is_due("a", s(602)));
    }

    #[test]
    fn complaints_that_are_never_the_same_take_no_more_room_than_sixteen() {
        let mut complaints = Complaints::default();
        for now in 0..1000 {
            assert!(complaints.is_due(&format!("dial tcp 127.0.0.1:{now}: refused"), s(now / 10)));
            assert!(complaints.0.len() <= MOST);
        }
        assert!(!complaints.is_due("dial tcp 127.0.0.1:999: refused", s(100)));
    }
}
