//! What was complained of and when: each thing once, and again after a while, but not each time that it is tried.
//!
//! Bounded: messages of a runtime may hold a time or a number that is another each time.

use std::collections::BTreeMap;
use std::time::Duration;

/// After this long what the pod suffers from is told once more: Events are kept for an hour.
pub(crate) const AGAIN: Duration = Duration::from_secs(600);
/// After this long what the node suffers from is told once more in the log.
const HOURLY: Duration = Duration::from_secs(3600);
/// More different complaints of one pod than this are not remembered; the oldest is forgotten, and may be told once more.
const MOST: usize = 16;
/// The same for a part of the agent, which sees to many pods.
const MOST_OF_ALL: usize = 256;

/// The complaints of one pod. A node has a hundred of them: nothing but what was told.
#[derive(Debug, Default)]
pub(crate) struct Complaints(BTreeMap<String, Duration>);

/// The complaints of a part of the agent, about what may go on for days: told once, and again each hour.
#[derive(Debug, Default)]
pub(crate) struct HourlyComplaints(Complaints);

impl HourlyComplaints {
    /// Whether this is to be told now; it counts as told then.
    pub(crate) fn is_due(&mut self, message: &str, now: Duration) -> bool {
        self.0.is_due_again(message, now, HOURLY, MOST_OF_ALL)
    }
}

impl Complaints {
    /// Whether this is to be told now; it counts as told then.
    pub(crate) fn is_due(&mut self, message: &str, now: Duration) -> bool {
        self.is_due_again(message, now, AGAIN, MOST)
    }

    fn is_due_again(&mut self, message: &str, now: Duration, again: Duration, most: usize) -> bool {
        self.0.retain(|_, told| now.saturating_sub(*told) < again);
        if self.0.contains_key(message) {
            return false;
        }
        let oldest = self.0.iter().min_by_key(|(_, told)| **told).map(|(message, _)| message.clone());
        if let Some(oldest) = oldest.filter(|_| self.0.len() >= most) {
            self.0.remove(&oldest);
        }
        self.0.insert(message.to_owned(), now);
        true
    }

    /// Forgets everything: what was complained of is over.
    pub(crate) fn clear(&mut self) {
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
        let mut hourly = HourlyComplaints::default();
        assert!(hourly.is_due("a", s(0)));
        assert!(!hourly.is_due("a", s(3599)));
        assert!(hourly.is_due("a", s(3600)));
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
