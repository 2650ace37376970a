//! From what was measured to what the node is short of: thresholds crossed, for how long, and the conditions that follow.
//!
//! Pure, but for what it remembers between two looks. Two rules keep the node from going back and forth: a threshold that was acted upon
//! counts as crossed until its minimum reclaim is free as well, and a condition stays for its transition period after it was last true.
//! Rules: `synchronize`, `thresholdsMet`, `thresholdsMetGracePeriod`, `nodeConditionsObservedSince` of `pkg/kubelet/eviction`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::policy::Threshold;
use super::{EvictionPolicy, Signal};
use crate::node::PressureKind;

/// How much there is of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// What is left.
    pub available: u64,
    /// All there is.
    pub capacity: u64,
}

/// What was measured. A signal that could not be measured is missing, and then none of its thresholds is crossed.
pub type Observations = BTreeMap<Signal, Observation>;

/// How often a node is looked at that is near one of its thresholds, or beyond: the kubelet's own period.
pub const NEAR: Duration = Duration::from_secs(10);
/// How often one is looked at that has plenty of everything.
pub const FAR: Duration = Duration::from_secs(60);
/// Within this part of the capacity above a threshold the node is near it.
const MARGIN_PARTS: u64 = 10;

/// What is remembered between two looks.
#[derive(Debug)]
pub struct Assessor {
    policy: EvictionPolicy,
    /// Since when each threshold is crossed, by its place in the policy.
    crossed_since: BTreeMap<usize, Duration>,
    /// Those that were acted upon, until they are left by their minimum reclaim.
    acted_upon: BTreeSet<usize>,
    /// When each pressure was last found.
    last_found: BTreeMap<PressureKind, Duration>,
}

/// What a look has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// The conditions that the node has.
    pub pressure: BTreeSet<PressureKind>,
    /// The thresholds for which a pod has to go now, the most urgent first.
    pub starved: Vec<Threshold>,
    /// When to look again if nothing happens before.
    pub look_again: Duration,
}

impl Assessor {
    /// A node that was never looked at.
    pub fn new(policy: EvictionPolicy) -> Self {
        Self {
            policy,
            crossed_since: BTreeMap::new(),
            acted_upon: BTreeSet::new(),
            last_found: BTreeMap::new(),
        }
    }

    /// The policy that is followed.
    pub const fn policy(&self) -> &EvictionPolicy {
        &self.policy
    }

    /// Takes note of what was measured at `now`, by the monotonic clock.
    pub fn assess(&mut self, observed: &Observations, now: Duration) -> Assessment {
        let crossed: BTreeSet<usize> = (self.policy.thresholds.iter().enumerate())
            .filter(|(place, threshold)| {
                let reclaim =
                    if self.acted_upon.contains(place) { Reclaim::Counts } else { Reclaim::Ignored };
                is_crossed(threshold, observed, reclaim)
            })
            .map(|(place, _)| place)
            .collect();
        self.crossed_since.retain(|place, _| crossed.contains(place));
        for place in &crossed {
            self.crossed_since.entry(*place).or_insert(now);
        }
        let thresholds = &self.policy.thresholds;
        for place in &crossed {
            if let Some(threshold) = thresholds.get(*place) {
                self.last_found.insert(threshold.signal.pressure(), now);
            }
        }
        let transition = self.policy.pressure_transition;
        self.last_found.retain(|_, last| *last == now || now.saturating_sub(*last) < transition);

        let is_due = |place: &usize, threshold: &Threshold| {
            self.crossed_since.get(place).is_some_and(|since| now.saturating_sub(*since) >= threshold.grace)
        };
        let due: Vec<(usize, Threshold)> =
            thresholds.iter().copied().enumerate().filter(|(place, it)| is_due(place, it)).collect();
        self.acted_upon = due.iter().map(|(place, _)| *place).collect();
        let is_calm = crossed.is_empty()
            && self.last_found.is_empty()
            && !thresholds.iter().any(|threshold| is_near(threshold, observed));
        Assessment {
            pressure: self.last_found.keys().copied().collect(),
            starved: due.into_iter().map(|(_, threshold)| threshold).collect(),
            look_again: if is_calm { FAR } else { NEAR },
        }
    }

    /// Whether any threshold, with its minimum reclaim, is crossed by what was measured after something was freed.
    pub fn is_starved_by(&self, observed: &Observations) -> bool {
        self.policy.thresholds.iter().any(|threshold| is_crossed(threshold, observed, Reclaim::Counts))
    }
}

/// Whether the minimum reclaim must be free as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reclaim {
    Counts,
    Ignored,
}

fn is_crossed(threshold: &Threshold, observed: &Observations, reclaim: Reclaim) -> bool {
    observed.get(&threshold.signal).is_some_and(|found| {
        let mut quantity = threshold.value.of(found.capacity);
        if let (Reclaim::Counts, Some(more)) = (reclaim, threshold.min_reclaim) {
            quantity = quantity.saturating_add(more.of(found.capacity));
        }
        found.available < quantity
    })
}

fn is_near(threshold: &Threshold, observed: &Observations) -> bool {
    observed.get(&threshold.signal).is_some_and(|found| {
        let quantity = threshold.value.of(found.capacity);
        found.available < quantity.saturating_add(quantity.max(found.capacity / MARGIN_PARTS))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::eviction::policy::Configured;
    use crate::manifest::Quantity;
    use crate::node::Threshold as Amount;

    const SIGNAL: Signal = Signal::NodeFsAvailable;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn observed(available: u64) -> Observations {
        [(SIGNAL, Observation { available, capacity: 1000 })].into()
    }

    fn hard(value: i64, min_reclaim: Option<i64>) -> Assessor {
        let configured = Configured {
            hard: [(SIGNAL, Amount::Amount(Quantity::from_value(value)))].into(),
            min_reclaim: min_reclaim
                .into_iter()
                .map(|more| (SIGNAL, Amount::Amount(Quantity::from_value(more))))
                .collect(),
            ..Configured::default()
        };
        Assessor::new(EvictionPolicy::new(&configured, s(300), s(0)))
    }

    #[test]
    fn a_hard_threshold_starves_at_once_and_its_condition_stays_for_the_transition_period() {
        let mut assessor = hard(100, None);
        for (at, available, starved, pressure, look_again) in [
            (0, 900, false, false, FAR),
            (60, 201, false, false, FAR),
            (120, 199, false, false, NEAR),
            (130, 100, false, false, NEAR),
            (140, 99, true, true, NEAR),
            (150, 500, false, true, NEAR),
            (439, 500, false, true, NEAR),
            (440, 500, false, false, FAR),
        ] {
            let found = assessor.assess(&observed(available), s(at));
            assert_eq!(!found.starved.is_empty(), starved, "at {at}");
            assert_eq!(found.pressure.contains(&PressureKind::Disk), pressure, "at {at}");
            assert_eq!(found.look_again, look_again, "at {at}");
        }
    }

    #[test]
    fn what_was_acted_upon_is_over_only_when_its_minimum_reclaim_is_free_too() {
        let mut assessor = hard(100, Some(50));
        for (at, available, starved) in [
            (0, 120, false),
            (10, 99, true),
            (20, 120, true),
            (30, 149, true),
            (40, 150, false),
            (50, 120, false),
        ] {
            let found = assessor.assess(&observed(available), s(at));
            assert_eq!(!found.starved.is_empty(), starved, "at {at}");
        }
        assert!(assessor.is_starved_by(&observed(149)) && !assessor.is_starved_by(&observed(150)));
    }

    #[test]
    fn a_soft_threshold_starves_after_its_grace_without_a_break_but_shows_at_once() {
        let configured = Configured {
            soft: [(SIGNAL, Amount::Part(0.2))].into(),
            soft_grace: [(SIGNAL, s(30))].into(),
            ..Configured::default()
        };
        let mut assessor = Assessor::new(EvictionPolicy::new(&configured, s(300), s(0)));
        for (at, available, starved) in [
            (0, 199, false),
            (20, 199, false),
            (25, 200, false),
            (30, 199, false),
            (59, 199, false),
            (60, 199, true),
            (70, 199, true),
        ] {
            let found = assessor.assess(&observed(available), s(at));
            assert_eq!(!found.starved.is_empty(), starved, "at {at}");
            assert!(found.pressure.contains(&PressureKind::Disk), "at {at}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_not_short() {
        let found = hard(100, None).assess(&Observations::new(), s(0));
        assert_eq!((found.starved.len(), found.pressure.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn a_condition_never_ends_within_its_transition_period(steps in proptest::collection::vec((1_u64..60, 0_u64..200), 1..60)) {
            let mut assessor = hard(100, None);
            let (mut now, mut last_crossed) = (0, None);
            for (wait, available) in steps {
                now += wait;
                let found = assessor.assess(&observed(available), s(now));
                if available < 100 {
                    last_crossed = Some(now);
                    prop_assert!(!found.starved.is_empty());
                }
                let expected = last_crossed.is_some_and(|last| now - last < 300);
                prop_assert_eq!(found.pressure.contains(&PressureKind::Disk), expected);
            }
        }
    }
}
