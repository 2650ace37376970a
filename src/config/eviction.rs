//! The keys about a node that runs short, under the kubelet's names, to an [`EvictionPolicy`].

use std::time::Duration;

use super::reader::{Names, Reader};
use super::value::{duration_within, min_reclaim, number_within, threshold};
use crate::eviction::policy::{Amounts, Configured};
use crate::eviction::{EvictionPolicy, Signal};
use crate::node::EvictionThresholds;

/// Taken, and never heard: what containers write lies on one of the two other file systems, whose thresholds hold for it.
const CONTAINER_FS: [&str; 2] = ["containerfs.available", "containerfs.inodesFree"];
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The policy, and its hard thresholds for whoever divides the node's resources.
pub(super) fn eviction(read: &mut Reader<'_>) -> (EvictionPolicy, EvictionThresholds) {
    let mut configured = Configured {
        hard: amounts(read, "evictionHard", threshold),
        soft: amounts(read, "evictionSoft", threshold),
        min_reclaim: amounts(read, "evictionMinimumReclaim", |text| min_reclaim(text).map(Some)),
        ..Configured::default()
    };
    read.map("evictionSoftGracePeriod", Names::Known(&names()), |name, text| {
        let grace = duration_within(Duration::from_millis(1), YEAR)(text)?;
        if let Some(signal) = Signal::parse(name) {
            configured.soft_grace.insert(signal, grace);
        }
        Ok(())
    });
    for signal in configured.soft.keys().filter(|signal| !configured.soft_grace.contains_key(signal)) {
        let signal = signal.as_str();
        read.refuse("evictionSoft", format!("{signal}: needs a time in evictionSoftGracePeriod"));
    }
    let transition = read.text("evictionPressureTransitionPeriod", duration_within(Duration::ZERO, YEAR));
    let max_pod_grace = read.text("evictionMaxPodGracePeriod", number_within(0, i64::from(u32::MAX)));
    let max_pod_grace = Duration::from_secs(u64::try_from(max_pod_grace).unwrap_or_default());
    let hard = |signal| configured.hard.get(&signal).copied();
    let thresholds = EvictionThresholds {
        memory_available: hard(Signal::MemoryAvailable),
        nodefs_available: hard(Signal::NodeFsAvailable),
    };
    (EvictionPolicy::new(&configured, transition, max_pod_grace), thresholds)
}

fn names() -> Vec<&'static str> {
    Signal::CONFIGURABLE.into_iter().map(Signal::as_str).chain(CONTAINER_FS).collect()
}

fn amounts(
    read: &mut Reader<'_>,
    path: &'static str,
    parse: impl Fn(&str) -> Result<Option<crate::node::Threshold>, String>,
) -> Amounts {
    let mut found = Amounts::new();
    read.map(path, Names::Known(&names()), |name, text| {
        let amount = parse(text)?;
        if let (Some(signal), Some(amount)) = (Signal::parse(name), amount) {
            found.insert(signal, amount);
        }
        Ok(())
    });
    found
}
