//! The thresholds, as configured: what must stay free, how long it may be too little, and how much is to be taken back then.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Signal;
use crate::node::Threshold as Amount;

/// Amounts by signal.
pub type Amounts = BTreeMap<Signal, Amount>;

/// One threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// What is measured.
    pub signal: Signal,
    /// What must stay free.
    pub value: Amount,
    /// How long there may be less before a pod is sacrificed; zero for a hard threshold.
    pub grace: Duration,
    /// How much more than the threshold must be free again before it counts as no longer crossed.
    pub min_reclaim: Option<Amount>,
}

impl Threshold {
    /// Whether a pod is sacrificed at once, and given no time.
    pub const fn is_hard(&self) -> bool {
        self.grace.is_zero()
    }
}

/// How a node that runs short behaves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EvictionPolicy {
    /// In the order in which they are answered: memory first, then the rest; of one signal the hard one first.
    pub thresholds: Vec<Threshold>,
    /// How long a condition stays after the last time that it was true.
    pub pressure_transition: Duration,
    /// The longest that a pod which is sacrificed for a soft threshold is given to end.
    pub max_pod_grace: Duration,
}

/// What the configuration says of thresholds.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// `evictionHard`
    pub hard: Amounts,
    /// `evictionSoft`
    pub soft: Amounts,
    /// `evictionSoftGracePeriod`
    pub soft_grace: BTreeMap<Signal, Duration>,
    /// `evictionMinimumReclaim`
    pub min_reclaim: Amounts,
}

impl EvictionPolicy {
    /// The policy of a configuration. A soft threshold without a grace period is left out; the configuration is refused for it before.
    pub fn new(configured: &Configured, pressure_transition: Duration, max_pod_grace: Duration) -> Self {
        let min_reclaim = |signal| configured.min_reclaim.get(&signal).copied();
        let hard = configured.hard.iter().flat_map(|(signal, value)| {
            let of =
                |signal, min_reclaim| Threshold { signal, value: *value, grace: Duration::ZERO, min_reclaim };
            // What all pods may have together is watched by the node's own threshold.
            let of_pods = (*signal == Signal::MemoryAvailable)
                .then(|| of(Signal::AllocatableMemoryAvailable, min_reclaim(*signal)));
            [of(*signal, min_reclaim(*signal))].into_iter().chain(of_pods)
        });
        let soft = configured.soft.iter().filter_map(|(signal, value)| {
            let grace = *configured.soft_grace.get(signal)?;
            Some(Threshold { signal: *signal, value: *value, grace, min_reclaim: min_reclaim(*signal) })
        });
        let mut thresholds: Vec<Threshold> = hard.chain(soft).collect();
        thresholds.sort_by_key(|threshold| (threshold.signal, !threshold.is_hard()));
        Self { thresholds, pressure_transition, max_pod_grace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Quantity;

    #[test]
    fn memory_comes_first_hard_before_soft_and_the_pods_own_share_is_watched_too() {
        let amounts = |list: &[(Signal, i64)]| -> Amounts {
            list.iter()
                .map(|(signal, amount)| (*signal, Amount::Amount(Quantity::from_value(*amount))))
                .collect()
        };
        let configured = Configured {
            hard: amounts(&[(Signal::PidAvailable, 1), (Signal::MemoryAvailable, 2)]),
            soft: amounts(&[(Signal::MemoryAvailable, 3), (Signal::NodeFsAvailable, 4)]),
            soft_grace: [(Signal::MemoryAvailable, Duration::from_secs(9))].into(),
            min_reclaim: amounts(&[(Signal::MemoryAvailable, 5)]),
        };
        let policy = EvictionPolicy::new(&configured, Duration::ZERO, Duration::ZERO);
        let found: Vec<_> = (policy.thresholds.iter())
            .map(|it| (it.signal.as_str(), it.value, it.grace.as_secs(), it.min_reclaim.is_some()))
            .collect();
        assert_eq!(
            found,
            [
                ("memory.available", Amount::Amount(Quantity::from_value(2)), 0, true),
                ("memory.available", Amount::Amount(Quantity::from_value(3)), 9, true),
                ("allocatableMemory.available", Amount::Amount(Quantity::from_value(2)), 0, true),
                ("pid.available", Amount::Amount(Quantity::from_value(1)), 0, false),
            ]
        );
    }
}
