//! What is said of a pod that is sacrificed (`evictionMessage` of `pkg/kubelet/eviction/helpers.go`), ends of sentences and all.

use std::fmt::Write as _;

use super::assessment::Observations;
use super::policy::Threshold;
use super::signal::Resource;
use crate::node::binary_quantity;

/// What one container uses of what is short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUse {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub used: u64,
    /// What it requests, as its manifest has it; 0 where it has none.
    pub requested: (u64, String),
}

/// Why a pod has to go.
pub fn of_pressure(
    threshold: &Threshold,
    starved: &[Threshold],
    observed: &Observations,
    containers: &[ContainerUse],
) -> String {
    let resource = threshold.signal.resource();
    let mut text = format!("The node was low on resource: {}. ", resource.as_str());
    // The first of those that are starved for the same thing, as the kubelet has it.
    let told = starved.iter().find(|other| other.signal.resource() == resource).unwrap_or(threshold);
    if let Some(found) = observed.get(&told.signal) {
        let quantity = amount(resource, told.value.of(found.capacity));
        let available = amount(resource, found.available);
        let _ = write!(text, "Threshold quantity: {quantity}, available: {available}. ");
    }
    if !matches!(resource, Resource::Memory | Resource::EphemeralStorage) {
        return text;
    }
    for ContainerUse { name, used, requested: (requested, written) } in containers {
        if used > requested {
            let used = amount(resource, *used);
            let resource = resource.as_str();
            let _ = write!(
                text,
                "Container {name} was using {used}, request is {written}, has larger consumption of {resource}. "
            );
        }
    }
    text
}

fn amount(resource: Resource, value: u64) -> String {
    match resource {
        Resource::Memory | Resource::EphemeralStorage => binary_quantity(value).0,
        Resource::Inodes | Resource::Pids => decimal(value),
    }
}

/// A number with the largest decimal suffix that leaves it whole.
fn decimal(mut value: u64) -> String {
    let mut suffixes = ["k", "M", "G", "T", "P", "E"].into_iter();
    let mut suffix = "";
    while value > 0 && value.is_multiple_of(1000) {
        let Some(next) = suffixes.next() else { break };
        (value, suffix) = (value / 1000, next);
    }
    format!("{value}{suffix}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::eviction::Signal;
    use crate::eviction::assessment::Observation;
    use crate::node::Threshold as Amount;

    fn threshold(signal: Signal, value: Amount) -> Threshold {
        Threshold { signal, value, grace: Duration::ZERO, min_reclaim: None }
    }

    #[test]
    fn the_words_are_the_kubelets() {
        let memory = threshold(Signal::MemoryAvailable, Amount::Amount(100 << 20));
        let inodes = threshold(Signal::NodeFsInodesFree, Amount::Part(0.05));
        let observed: Observations = [
            (Signal::MemoryAvailable, Observation { available: 95_324 << 10, capacity: 8 << 30 }),
            (Signal::NodeFsInodesFree, Observation { available: 12_345, capacity: 1_000_000 }),
        ]
        .into();
        let containers =
            [("main", 300 << 20, 100 << 20, "100Mi"), ("side", 1 << 20, 0, "0"), ("ok", 5, 5, "5")].map(
                |(name, used, requested, written)| ContainerUse {
                    name: name.to_owned(),
                    used,
                    requested: (requested, written.to_owned()),
                },
            );
        assert_eq!(
            of_pressure(&memory, &[memory], &observed, &containers),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 95324Ki. \
             Container main was using 300Mi, request is 100Mi, has larger consumption of memory. \
             Container side was using 1Mi, request is 0, has larger consumption of memory. "
        );
        assert_eq!(
            of_pressure(&inodes, &[inodes], &observed, &containers),
            "The node was low on resource: inodes. Threshold quantity: 50k, available: 12345. "
        );
    }
}
