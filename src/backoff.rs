//! Exponential back-off: how long to wait before trying the same thing again.
//!
//! One type for container restarts, image pulls and whatever else repeats. Pure: it never reads a clock. Every instant is a
//! [`Duration`] since one origin that never moves (`CLOCK_BOOTTIME` is the natural one), never wall time, and a wait is
//! clamped to the current delay, so that neither a clock step nor a runtime's odd timestamp can stretch it.
//! Rule: `k8s.io/client-go/util/flowcontrol/backoff.go` and `doBackOff` in the kubelet's `kuberuntime_manager.go`. The kubelet's housekeeping
//! (`Backoff.GC`) forgets what was last raised ten minutes ago, though its trouble may be younger: so age alone decides here.
//!
//! The state is two durations. Whoever needs it after an agent restart stores [`Backoff::delay`] with what it belongs to and
//! brings it back with [`Backoff::resumed`].

use std::time::Duration;

/// The figures of a back-off, validated: `0 < initial <= max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffPolicy {
    initial: Duration,
    max: Duration,
    reset_after: Duration,
}

/// Why figures make no back-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BackoffPolicyError {
    /// A delay of zero would spin.
    #[error("the first delay of a back-off must be more than 0s")]
    ZeroInitial,
    /// The ceiling is below the first delay.
    #[error("the longest delay of a back-off ({max:?}) must be at least its first ({initial:?})")]
    MaxBelowInitial {
        /// The first delay.
        initial: Duration,
        /// The ceiling.
        max: Duration,
    },
}

impl BackoffPolicy {
    /// The kubelet's figures for containers that exit and for images that can't be pulled: 10 s doubling to 5 min,
    /// forgotten after 10 min without trouble.
    pub const KUBELET: Self = Self {
        initial: Duration::from_secs(10),
        max: Duration::from_secs(300),
        reset_after: Duration::from_secs(600),
    };

    /// The DaemonSet controller's figures for pods that have failed (`failedPodsBackoff`): 1 s doubling to 15 min, forgotten after 30 min.
    pub const FAILED_PODS: Self = Self {
        initial: Duration::from_secs(1),
        max: Duration::from_secs(15 * 60),
        reset_after: Duration::from_secs(30 * 60),
    };

    /// A back-off that starts at `initial`, doubles up to `max`, and is forgotten once it has not been raised for more than
    /// `reset_after`.
    ///
    /// # Errors
    /// When `initial` is zero or above `max`.
    pub fn new(initial: Duration, max: Duration, reset_after: Duration) -> Result<Self, BackoffPolicyError> {
        if initial.is_zero() {
            return Err(BackoffPolicyError::ZeroInitial);
        }
        if max < initial {
            return Err(BackoffPolicyError::MaxBelowInitial { initial, max });
        }
        Ok(Self { initial, max, reset_after })
    }

    /// The kubelet's figures under another ceiling (`crashLoopBackOff.maxContainerRestartPeriod`); a ceiling below 10 s also
    /// lowers the first delay.
    ///
    /// # Errors
    /// When `max` is zero.
    pub fn kubelet_with_max(max: Duration) -> Result<Self, BackoffPolicyError> {
        Self::new(Self::KUBELET.initial.min(max), max, Self::KUBELET.reset_after)
    }

    /// How long after it was last raised a back-off is forgotten.
    pub const fn reset_after(&self) -> Duration {
        self.reset_after
    }

    /// The longest delay.
    pub const fn max(&self) -> Duration {
        self.max
    }
}

/// May it be tried again?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Now,
    /// Not before `remaining` has passed.
    Wait {
        /// The delay in force, for messages.
        delay: Duration,
        /// What is left of it; never more than `delay`.
        remaining: Duration,
    },
}

impl Turn {
    /// What is left to wait.
    pub const fn remaining(self) -> Duration {
        match self {
            Turn::Now => Duration::ZERO,
            Turn::Wait { remaining, .. } => remaining,
        }
    }
}

/// The back-off of one thing. [`Backoff::default`] has seen no trouble yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    raised: Option<Raised>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Raised {
    delay: Duration,
    at: Duration,
}

impl Backoff {
    /// The back-off that had `delay` in force since `at`, as remembered from before an agent restart. A zero `delay` is none.
    pub fn resumed(delay: Duration, at: Duration) -> Self {
        Self { raised: (!delay.is_zero()).then_some(Raised { delay, at }) }
    }

    /// The delay in force: zero before the first trouble.
    pub fn delay(&self) -> Duration {
        self.raised.map_or(Duration::ZERO, |raised| raised.delay)
    }

    /// May the thing that ended at `ended` be tried again at `now`?
    ///
    /// For a container `ended` is when its newest instance finished; for a pull it is when the last one failed, which is
    /// [`Backoff::raised_at`].
    pub fn turn(&self, policy: &BackoffPolicy, ended: Duration, now: Duration) -> Turn {
        let Some(raised) = self.in_force(policy, now) else { return Turn::Now };
        let delay = raised.delay.min(policy.max);
        let forgotten_in = (raised.at.min(now) + policy.reset_after).saturating_sub(now);
        match delay.saturating_sub(now.saturating_sub(ended)).min(forgotten_in) {
            Duration::ZERO => Turn::Now,
            remaining => Turn::Wait { delay, remaining },
        }
    }

    /// Counts one more trouble at `now`: call it when trying again (containers) or when an attempt failed (pulls).
    pub fn raise(&mut self, policy: &BackoffPolicy, now: Duration) {
        let delay = match self.in_force(policy, now) {
            Some(raised) => raised.delay.saturating_mul(2).clamp(policy.initial, policy.max),
            None => policy.initial,
        };
        self.raised = Some(Raised { delay, at: now });
    }

    /// When the delay was last raised; `None` before the first trouble.
    pub fn raised_at(&self) -> Option<Duration> {
        self.raised.map(|raised| raised.at)
    }

    /// What was raised, unless that is too long ago.
    fn in_force(&self, policy: &BackoffPolicy, now: Duration) -> Option<Raised> {
        self.raised.filter(|raised| now.saturating_sub(raised.at) < policy.reset_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Restarts a container that exits `lives` after each start, each time at the first permitted instant; answers the delays.
    fn restart_delays(policy: &BackoffPolicy, lives: &[Duration]) -> Vec<Duration> {
        let mut backoff = Backoff::default();
        let mut now = s(1_000);
        lives
            .iter()
            .map(|life| {
                let finished = now + *life;
                now = finished;
                let waited = match backoff.turn(policy, finished, now) {
                    Turn::Now => Duration::ZERO,
                    Turn::Wait { remaining, .. } => remaining,
                };
                now += waited;
                assert_eq!(backoff.turn(policy, finished, now), Turn::Now, "the wait is over at its end");
                backoff.raise(policy, now);
                waited
            })
            .collect()
    }

    #[test]
    fn a_crash_loop_waits_0_10_20_up_to_300_seconds() {
        let delays = restart_delays(&BackoffPolicy::KUBELET, &[s(1); 9]);
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300, 300].map(s));
    }

    #[test]
    fn ten_minutes_after_it_was_raised_it_starts_over() {
        let policy = BackoffPolicy::KUBELET;
        assert_eq!(restart_delays(&policy, &[s(1), s(1), s(1), s(559), s(1)]), [0, 10, 20, 40, 80].map(s));
        // What is left to wait is forgotten as well.
        assert_eq!(restart_delays(&policy, &[s(1), s(1), s(1), s(590), s(1)]), [0, 10, 20, 10, 10].map(s));
        assert_eq!(restart_delays(&policy, &[s(1), s(1), s(1), s(600), s(1)]), [0, 10, 20, 0, 10].map(s));
        // So whatever lives for more than half of that never waits for five minutes twice.
        let slow = [s(1), s(1), s(1), s(1), s(1), s(1), s(500), s(1)];
        assert_eq!(restart_delays(&policy, &slow), [0, 10, 20, 40, 80, 160, 100, 10].map(s));
    }

    #[test]
    fn a_lower_ceiling_also_lowers_the_first_delay() {
        let policy = BackoffPolicy::kubelet_with_max(s(4)).unwrap();
        assert_eq!(restart_delays(&policy, &[s(1); 4]), [0, 4, 4, 4].map(s));
        let policy = BackoffPolicy::kubelet_with_max(s(15)).unwrap();
        assert_eq!(restart_delays(&policy, &[s(1); 4]), [0, 10, 15, 15].map(s));
    }

    #[test]
    fn failing_pulls_wait_10_20_40_seconds_from_the_last_failure() {
        let policy = BackoffPolicy::KUBELET;
        let mut backoff = Backoff::default();
        let mut now = s(5);
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            backoff.raise(&policy, now);
            assert_eq!(
                backoff.turn(&policy, now, now),
                Turn::Wait { delay: s(expected), remaining: s(expected) }
            );
            now += s(expected);
        }
        assert_eq!(backoff.turn(&policy, backoff.raised_at().unwrap(), now), Turn::Now);
    }

    #[test]
    fn an_agent_restart_keeps_the_delay() {
        let policy = BackoffPolicy::KUBELET;
        let mut before = Backoff::default();
        before.raise(&policy, s(10));
        before.raise(&policy, s(31));
        let mut after = Backoff::resumed(before.delay(), before.raised_at().unwrap());
        assert_eq!(after, before);
        after.raise(&policy, s(60));
        assert_eq!(after.delay(), s(40));
        assert_eq!(Backoff::resumed(Duration::ZERO, s(9)), Backoff::default());
    }

    #[test]
    fn figures_that_make_no_back_off_are_refused() {
        assert_eq!(BackoffPolicy::new(s(0), s(1), s(2)), Err(BackoffPolicyError::ZeroInitial));
        assert_eq!(BackoffPolicy::kubelet_with_max(s(0)), Err(BackoffPolicyError::ZeroInitial));
        assert!(matches!(
            BackoffPolicy::new(s(5), s(4), s(2)),
            Err(BackoffPolicyError::MaxBelowInitial { .. })
        ));
    }

    proptest! {
        #[test]
        fn whatever_the_clocks_say_no_wait_exceeds_the_delay_nor_the_delay_the_ceiling(
            steps in prop::collection::vec((0_u64..4_000_000, 0_u64..4_000_000, any::<bool>()), 1..40),
            max in 1_u64..900,
        ) {
            let policy = BackoffPolicy::kubelet_with_max(s(max)).unwrap();
            let mut backoff = Backoff::default();
            for (ended, now, raise) in steps {
                if raise {
                    backoff.raise(&policy, s(now));
                }
                prop_assert!(backoff.delay() <= policy.max());
                if let Turn::Wait { delay, remaining } = backoff.turn(&policy, s(ended), s(now)) {
                    prop_assert!(remaining <= delay && delay <= policy.max());
                    prop_assert_eq!(backoff.turn(&policy, s(ended), s(now.max(ended)) + delay), Turn::Now);
                }
            }
        }
    }
}
