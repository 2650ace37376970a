//! In which order pods end before the machine goes down, and how long each may take. Pure.
//!
//! Pods are parted by priority: those that matter least end first, and the next part begins when they have ended or their time is over.
//! Rules: KEP-2000 and KEP-2712; the kubelet's `pkg/kubelet/nodeshutdown` (`migrateConfig`, `groupByPriority`).

use std::time::Duration;

/// The priority from which on a pod is critical (`system-cluster-critical`).
pub const CRITICAL: i32 = 2_000_000_000;

/// How long pods of a priority, up to that of the next period, may take to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The least priority that it is for.
    pub priority: i32,
    /// How long.
    pub grace: Duration,
}

/// All periods, from the least priority to the highest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule(Vec<Period>);

/// Pods that end together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<P> {
    /// How long they may take.
    pub grace: Duration,
    /// The pods.
    pub pods: Vec<P>,
}

impl Schedule {
    /// A schedule of any periods.
    pub fn new(mut periods: Vec<Period>) -> Self {
        periods.sort_by_key(|period| period.priority);
        Self(periods)
    }

    /// All pods within `total`, of which the last part is for critical ones alone (`shutdownGracePeriod`,
    /// `shutdownGracePeriodCriticalPods`).
    pub fn of(total: Duration, critical: Duration) -> Self {
        if total.is_zero() {
            return Self::default();
        }
        Self(vec![
            Period { priority: 0, grace: total.saturating_sub(critical) },
            Period { priority: CRITICAL, grace: critical },
        ])
    }

    /// How long a machine that goes down must wait at most.
    pub fn longest(&self) -> Duration {
        self.0.iter().map(|period| period.grace).sum()
    }

    /// Whether pods are ended by whoever ends the machine, without us.
    pub fn is_off(&self) -> bool {
        self.longest().is_zero()
    }

    /// Parts pods, each with its priority, into groups in the order in which they end. Groups without pods are left out.
    pub fn groups<P>(&self, pods: impl IntoIterator<Item = (P, i32)>) -> Vec<Group<P>> {
        let mut groups: Vec<Group<P>> =
            self.0.iter().map(|period| Group { grace: period.grace, pods: Vec::new() }).collect();
        for (pod, priority) in pods {
            // A priority below all others counts as the least of them.
            let index = self.0.partition_point(|period| period.priority <= priority).saturating_sub(1);
            if let Some(group) = groups.get_mut(index) {
                group.pods.push(pod);
            }
        }
        groups.retain(|group| !group.pods.is_empty());
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_critical_part_comes_last_and_is_part_of_the_whole() {
        let schedule = Schedule::of(secs(30), secs(10));
        assert_eq!(schedule.longest(), secs(30));
        let pods = [("dns", CRITICAL), ("web", 0), ("odd", -5), ("node", CRITICAL + 1000), ("db", 1000)];
        assert_eq!(
            schedule.groups(pods),
            [
                Group { grace: secs(20), pods: vec!["web", "odd", "db"] },
                Group { grace: secs(10), pods: vec!["dns", "node"] },
            ]
        );
        assert_eq!(schedule.groups([("dns", CRITICAL)]).len(), 1);
        assert!(Schedule::of(secs(0), secs(10)).is_off());
        assert!(Schedule::default().groups([("web", 0)]).is_empty());
    }

    #[test]
    fn each_pod_is_in_the_period_at_or_below_its_priority() {
        let period = |priority, seconds| Period { priority, grace: secs(seconds) };
        let schedule = Schedule::new(vec![period(100, 1), period(0, 2), period(1000, 3)]);
        for (priority, grace) in [(-1, 2), (0, 2), (99, 2), (100, 1), (999, 1), (1000, 3), (i32::MAX, 3)] {
            let groups = schedule.groups([((), priority)]);
            assert_eq!(
                groups.iter().map(|group| group.grace).collect::<Vec<_>>(),
                [secs(grace)],
                "{priority}"
            );
        }
    }
}
