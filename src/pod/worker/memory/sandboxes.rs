//! How often a pod may have another sandbox.
//!
//! The kubelet has no such rule: it tries again ten seconds after a failure, and within a second when a sandbox has died. CNI comes and goes,
//! so after a failure we begin sooner. Sandboxes that die are replaced as soon as by a kubelet, but one that dies for ever costs less and less.

use std::time::Duration;

/// The first wait, doubled each time up to the kubelet's own (`backOffPeriod`). A kubelet looks as often (`genericPlegRelistPeriod`).
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);
/// So many may die before the wait grows.
const PATIENCE: u32 = 5;
/// After this long without another try all is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// The tries to give one pod a sandbox. Instants are durations since the clock's origin.
#[derive(Debug, Default)]
pub(super) struct Sandboxes {
    /// When the last one was tried, or had failed.
    last: Option<Duration>,
    /// How long after that the next may be.
    wait: Duration,
    /// Whether the last one could not be made.
    failed: bool,
    /// How many have died.
    died: u32,
}

impl Sandboxes {
    /// Counts a sandbox that is about to be made.
    pub(super) fn note_try(&mut self, now: Duration) {
        if self.last.is_none_or(|last| now.saturating_sub(last) > FORGOTTEN_AFTER) {
            *self = Self::default();
        } else if !self.failed {
            self.died += 1;
            match self.died {
                1 => {}
                2..=PATIENCE => self.wait = self.wait.max(FIRST),
                _ => self.raise(),
            }
        }
        (self.last, self.failed) = (Some(now), false);
    }

    /// Counts that it could not be made.
    pub(super) fn note_failure(&mut self, now: Duration) {
        self.raise();
        (self.last, self.failed) = (Some(now), true);
    }

    /// How long to wait yet.
    pub(super) fn delay(&self, now: Duration) -> Duration {
        self.last.map_or(Duration::ZERO, |last| (last + self.wait).saturating_sub(now))
    }

    fn raise(&mut self) {
        self.wait = (self.wait * 2).clamp(FIRST, LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn tries_that_fail_are_apart_by_1_2_4_8_10_seconds() {
        let mut sandboxes = Sandboxes::default();
        let mut now = s(1000);
        for expected in [1, 2, 4, 8, 10, 10] {
            sandboxes.note_try(now);
            now += s(3);
            sandboxes.note_failure(now);
            assert_eq!(sandboxes.delay(now), s(expected));
            now += s(expected);
        }
    }

    #[test]
    fn one_that_dies_is_replaced_as_soon_as_by_a_kubelet_until_that_has_gone_on_for_long() {
        let mut sandboxes = Sandboxes::default();
        assert_eq!(sandboxes.delay(s(1)), s(0));
        let lives = [
            (100, 100, 0),
            (100, 100, 0),
            (100, 100, 1),
            (101, 102, 0),
            (102, 102, 1),
            (103, 103, 1),
            (104, 104, 2),
            (106, 108, 2),
            (110, 110, 8),
            (118, 118, 10),
        ];
        for (now, died, expected) in lives {
            sandboxes.note_try(s(now));
            assert_eq!(sandboxes.delay(s(died)), s(expected), "made at {now}, died at {died}");
        }
        sandboxes.note_try(s(1000));
        assert_eq!(sandboxes.delay(s(1000)), s(0));
    }
}
