//! What is said of a pod that is sacrificed (`evictionMessage` of `pkg/kubelet/eviction/helpers.go`), ends of sentences and all.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::assessment::Observations;
use super::policy::Threshold;
use super::signal::Resource;
use crate::manifest::Quantity;
use crate::node::binary_quantity;

/// What one container uses of what is short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUse {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub used: u64,
    /// What it requests; nothing where it requests nothing.
    pub requested: Quantity,
}

/// Why a pod has to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Why {
    /// In words.
    pub message: String,
    /// For machines: annotations of the Event.
    pub annotations: BTreeMap<String, String>,
}

/// Why a pod has to go for a node that runs short. `observed` is what was found before anything was taken back.
pub fn of_pressure(
    threshold: &Threshold,
    starved: &[Threshold],
    observed: &Observations,
    containers: &[ContainerUse],
) -> Why {
    let resource = threshold.signal.resource();
    let mut message = format!("The node was low on resource: {}. ", resource.as_str());
    // The first of those that are starved for the same thing, as the kubelet has it.
    let told = starved.iter().find(|other| other.signal.resource() == resource).unwrap_or(threshold);
    if let Some(found) = observed.get(&told.signal) {
        let quantity = told.value.text(found.capacity);
        let available = amount(resource, found.available);
        let _ = write!(message, "Threshold quantity: {quantity}, available: {available}. ");
    }
    let (mut blamed, mut amounts) = (Vec::new(), Vec::new());
    for ContainerUse { name, used, requested } in containers.iter().filter(|_| is_requested(resource)) {
        if i128::from(*used) > i128::from(requested.value()) {
            let (used, resource) = (amount(resource, *used), resource.as_str());
            let _ = write!(
                message,
                "Container {name} was using {used}, request is {requested}, has larger consumption of {resource}. "
            );
            blamed.push(name.as_str());
            amounts.push(used);
        }
    }
    let annotations = [
        ("offending_containers", blamed.join(",")),
        ("offending_containers_usage", amounts.join(",")),
        ("starved_resource", resource.as_str().to_owned()),
    ];
    Why { message, annotations: annotations.map(|(key, value)| (key.to_owned(), value)).into() }
}

/// Nobody is blamed for what nobody can request.
const fn is_requested(resource: Resource) -> bool {
    matches!(resource, Resource::Memory | Resource::EphemeralStorage)
}

fn amount(resource: Resource, value: u64) -> String {
    if is_requested(resource) {
        return binary_quantity(value).0;
    }
    Quantity::from_value(i64::try_from(value).unwrap_or(i64::MAX)).to_string()
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
        let memory = threshold(Signal::MemoryAvailable, Amount::Amount("100M".parse().unwrap()));
        let inodes = threshold(Signal::NodeFsInodesFree, Amount::Part(0.05));
        let observed: Observations = [
            (Signal::MemoryAvailable, Observation { available: 95_324 << 10, capacity: 8 << 30 }),
            (Signal::NodeFsInodesFree, Observation { available: 12_000, capacity: 1_000_000 }),
        ]
        .into();
        let containers = [("main", 300 << 20, "100Mi"), ("side", 1 << 20, "0"), ("ok", 5, "5")].map(
            |(name, used, requested)| ContainerUse {
                name: name.to_owned(),
                used,
                requested: requested.parse().unwrap(),
            },
        );
        let Why { message, annotations } = of_pressure(&memory, &[memory], &observed, &containers);
        let annotated = |annotations: &BTreeMap<String, String>| -> Vec<String> {
            annotations.iter().map(|(key, value)| format!("{key}={value}")).collect()
        };
        assert_eq!(
            annotated(&annotations),
            [
                "offending_containers=main,side",
                "offending_containers_usage=300Mi,1Mi",
                "starved_resource=memory"
            ]
        );
        assert_eq!(
            message,
            "The node was low on resource: memory. Threshold quantity: 100M, available: 95324Ki. \
             Container main was using 300Mi, request is 100Mi, has larger consumption of memory. \
             Container side was using 1Mi, request is 0, has larger consumption of memory. "
        );
        let Why { message, annotations } = of_pressure(&inodes, &[inodes], &observed, &containers);
        assert_eq!(
            message,
            "The node was low on resource: inodes. Threshold quantity: 50000, available: 12k. "
        );
        assert_eq!(
            annotated(&annotations),
            ["offending_containers=", "offending_containers_usage=", "starved_resource=inodes"]
        );
    }
}
