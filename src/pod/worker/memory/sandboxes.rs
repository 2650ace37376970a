//! How often a pod may have another sandbox: the first successor at once, those after it ever less often.
//!
//! The kubelet has no such rule: it tries again ten seconds after a failure, and at once when a sandbox has died. CNI comes and goes, so we
//! begin sooner, and never wait longer than the kubelet does.

use std::time::Duration;

/// The first wait, doubled each time up to the kubelet's own (`backOffPeriod`).
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);
/// After this long without another try all is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// The tries to give one pod a sandbox. Instants are durations since the clock's origin.
#[derive(Debug, Default)]
pub(super) struct Sandboxes {
    /// When the last one was tried, or had failed.
    last: Option<Duration>,
    /// How long after that the next may be.
    wait: Duration,
}

impl Sandboxes {
    /// Counts a sandbox that is about to be made.
    pub(super) fn note_try(&mut self, now: Duration) {
        match self.last {
            Some(last) if now.saturating_sub(last) <= FORGOTTEN_AFTER => self.raise(),
            _ => self.wait = Duration::ZERO,
        }
        self.last = Some(now);
    }

    /// Counts that it could not be made.
    pub(super) fn note_failure(&mut self, now: Duration) {
        if self.wait.is_zero() {
            self.raise();
        }
        self.last = Some(now);
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
    fn the_first_that_dies_is_replaced_at_once_and_so_is_one_that_lasted() {
        let mut sandboxes = Sandboxes::default();
        assert_eq!(sandboxes.delay(s(1)), s(0));
        for (now, died, expected) in [(100, 100, 0), (100, 101, 0), (101, 101, 2), (103, 104, 3)] {
            sandboxes.note_try(s(now));
            assert_eq!(sandboxes.delay(s(died)), s(expected), "made at {now}, died at {died}");
        }
        sandboxes.note_try(s(1000));
        assert_eq!(sandboxes.delay(s(1000)), s(0));
    }
}
