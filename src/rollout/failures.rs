//! How soon a pod that has failed is replaced: at once, then after a second, then ever more slowly.
//!
//! Rule: `failedPodsBackoff` of `pkg/controller/daemon/daemon_controller.go`: 1 s, doubled with each pod that is removed, at most 15
//! minutes, forgotten after 30 minutes without one; a new generation of the DaemonSet starts afresh. Like the controller's it is not kept
//! across a restart.

use std::time::Duration;

use crate::backoff::{Backoff, BackoffPolicy, Turn};

/// The failed pods of one DaemonSet on this node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Failures {
    generation: i64,
    backoff: Backoff,
}

impl Failures {
    /// Whether a failed pod may be removed, and so replaced, at `now`.
    pub fn turn(&self, generation: i64, now: Duration) -> Turn {
        match self.backoff.raised_at() {
            Some(last) if self.generation == generation => {
                self.backoff.turn(&BackoffPolicy::FAILED_PODS, last, now)
            }
            _ => Turn::Now,
        }
    }

    /// Counts a failed pod that is removed at `now`.
    pub fn note_removal(&mut self, generation: i64, now: Duration) {
        if self.generation != generation {
            *self = Self { generation, backoff: Backoff::default() };
        }
        self.backoff.raise(&BackoffPolicy::FAILED_PODS, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Removes each failed pod as soon as it may be; the waits in between, when each new pod fails at once.
    fn waits(failures: &mut Failures, generation: i64, now: &mut Duration, pods: usize) -> Vec<u64> {
        let wait = |_| {
            let wait = failures.turn(generation, *now).remaining();
            *now += wait;
            failures.note_removal(generation, *now);
            wait.as_secs()
        };
        (0..pods).map(wait).collect()
    }

    #[test]
    fn the_first_goes_at_once_and_the_others_ever_more_slowly() {
        let (mut failures, mut now) = (Failures::default(), s(100));
        let found = waits(&mut failures, 1, &mut now, 13);
        assert_eq!(found, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    }

    #[test]
    fn a_new_generation_and_a_long_quiet_time_start_afresh() {
        let (mut failures, mut now) = (Failures::default(), s(100));
        waits(&mut failures, 1, &mut now, 6);
        assert_eq!(waits(&mut failures, 2, &mut now, 3), [0, 1, 2]);
        now += s(30 * 60 - 1);
        assert_eq!(waits(&mut failures, 2, &mut now, 2), [0, 8], "less than thirty minutes are not enough");
        now += s(30 * 60);
        assert_eq!(waits(&mut failures, 2, &mut now, 3), [0, 1, 2]);
    }
}
