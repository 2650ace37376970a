//! What the node has (capacity) and what pods may ask of it (allocatable).
//!
//! Rule: allocatable is capacity less what is reserved and less the hard eviction threshold of memory and of the root
//! directory's file system, never below 0. Source: `pkg/kubelet/cm/node_container_manager_linux.go`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::HostFacts;
use crate::manifest::Quantity as Amount;

/// Resources set aside, 0 where nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Processor time in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Disk space in bytes.
    pub ephemeral_storage_bytes: u64,
}

/// How much must stay free.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// So many bytes, or so many inodes; it is shown as it was written.
    Amount(Amount),
    /// A part of the capacity, between 0 and 1, as exact as the kubelet has it.
    Part(f32),
}

impl Threshold {
    /// How much that is where there is so much.
    pub(crate) fn of(self, capacity: u64) -> u64 {
        match self {
            Threshold::Amount(amount) => u64::try_from(amount.value()).unwrap_or(0),
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a size, computed as the kubelet does"
            )]
            Threshold::Part(part) => (capacity as f64 * f64::from(part)) as u64,
        }
    }

    /// How that is written: a part is always a binary amount, whatever it is a part of (`GetThresholdQuantity`).
    pub(crate) fn text(self, capacity: u64) -> String {
        match self {
            Threshold::Amount(amount) => amount.to_string(),
            Threshold::Part(_) => bytes(self.of(capacity)).0,
        }
    }
}

/// The hard eviction thresholds that lower what pods may ask for. A signal that is absent has none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EvictionThresholds {
    /// `memory.available`
    pub memory_available: Option<Threshold>,
    /// `nodefs.available`: the file system of the root directory
    pub nodefs_available: Option<Threshold>,
}

/// How the node's resources are divided.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourcePolicy {
    /// How many pods may run.
    pub max_pods: u32,
    /// For the system outside of pods.
    pub system_reserved: Reserved,
    /// For the agent and the runtime.
    pub kube_reserved: Reserved,
    /// What must stay free.
    pub eviction_hard: EvictionThresholds,
}

/// `status.capacity`
pub(super) fn capacity(facts: &HostFacts, policy: &ResourcePolicy) -> BTreeMap<String, Quantity> {
    let cpu_millis = u64::from(facts.cpus) * 1000;
    list(facts, policy, cpu_millis, facts.memory_bytes, facts.ephemeral_storage_bytes)
}

/// `status.allocatable`
pub(super) fn allocatable(facts: &HostFacts, policy: &ResourcePolicy) -> BTreeMap<String, Quantity> {
    let ResourcePolicy { system_reserved: system, kube_reserved: kube, eviction_hard, .. } = policy;
    let held_back = |threshold: Option<Threshold>, capacity| threshold.map_or(0, |it| it.of(capacity));
    let less = |capacity: u64, parts: [u64; 3]| parts.into_iter().fold(capacity, u64::saturating_sub);
    let cpu_millis = less(u64::from(facts.cpus) * 1000, [system.cpu_millis, kube.cpu_millis, 0]);
    let memory = less(
        facts.memory_bytes,
        [
            system.memory_bytes,
            kube.memory_bytes,
            held_back(eviction_hard.memory_available, facts.memory_bytes),
        ],
    );
    // Memory set aside for huge pages is of no use to anything else.
    let memory = facts.hugepages.values().fold(memory, |memory, pages| memory.saturating_sub(*pages));
    let storage = less(
        facts.ephemeral_storage_bytes,
        [
            system.ephemeral_storage_bytes,
            kube.ephemeral_storage_bytes,
            held_back(eviction_hard.nodefs_available, facts.ephemeral_storage_bytes),
        ],
    );
    list(facts, policy, cpu_millis, memory, storage)
}

fn list(
    facts: &HostFacts,
    policy: &ResourcePolicy,
    cpu_millis: u64,
    memory: u64,
    storage: u64,
) -> BTreeMap<String, Quantity> {
    let huge = facts
        .hugepages
        .iter()
        .map(|(page_size, total)| (format!("hugepages-{}", bytes(*page_size).0), bytes(*total)));
    [
        ("cpu".to_owned(), cpu(cpu_millis)),
        ("memory".to_owned(), bytes(memory)),
        ("ephemeral-storage".to_owned(), bytes(storage)),
        ("pods".to_owned(), Quantity(policy.max_pods.to_string())),
    ]
    .into_iter()
    .chain(huge)
    .collect()
}

fn cpu(millis: u64) -> Quantity {
    Quantity(if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") })
}

/// A number of bytes with the largest binary suffix that leaves it whole.
pub(crate) fn bytes(mut value: u64) -> Quantity {
    let mut suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter();
    let mut suffix = suffixes.next();
    while value > 0 && value.is_multiple_of(1024) {
        let Some(next) = suffixes.next() else { break };
        (value, suffix) = (value / 1024, Some(next));
    }
    Quantity(format!("{value}{}", suffix.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn facts() -> HostFacts {
        HostFacts {
            cpus: 4,
            memory_bytes: 8192 * MIB,
            ephemeral_storage_bytes: 1000 * MIB,
            hugepages: BTreeMap::from([(2 * MIB, 64 * MIB), (1024 * MIB, 0)]),
            ..HostFacts::default()
        }
    }

    fn policy() -> ResourcePolicy {
        ResourcePolicy {
            max_pods: 110,
            system_reserved: Reserved {
                cpu_millis: 250,
                memory_bytes: 512 * MIB,
                ephemeral_storage_bytes: 0,
            },
            kube_reserved: Reserved { cpu_millis: 250, memory_bytes: 0, ephemeral_storage_bytes: 100 * MIB },
            eviction_hard: EvictionThresholds {
                memory_available: Some(Threshold::Amount("100Mi".parse().unwrap())),
                nodefs_available: Some(Threshold::Part(0.1)),
            },
        }
    }

    fn text(list: &BTreeMap<String, Quantity>) -> Vec<(&str, &str)> {
        list.iter().map(|(name, quantity)| (name.as_str(), quantity.0.as_str())).collect()
    }

    #[test]
    fn capacity_is_what_the_host_has() {
        assert_eq!(
            text(&capacity(&facts(), &policy())),
            [
                ("cpu", "4"),
                ("ephemeral-storage", "1000Mi"),
                ("hugepages-1Gi", "0"),
                ("hugepages-2Mi", "64Mi"),
                ("memory", "8Gi"),
                ("pods", "110"),
            ]
        );
    }

    #[test]
    fn allocatable_leaves_out_reservations_thresholds_and_huge_pages() {
        let found = allocatable(&facts(), &policy());
        assert_eq!(found["cpu"].0, "3500m");
        assert_eq!(found["memory"].0, "7516Mi");
        // 10 % of 1000Mi is a byte and a half more than a tenth of it.
        assert_eq!(found["ephemeral-storage"].0, "838860799");
        assert_eq!(found["hugepages-2Mi"].0, "64Mi");
    }

    #[test]
    fn allocatable_is_never_negative() {
        let all = Reserved { cpu_millis: 9000, memory_bytes: u64::MAX, ephemeral_storage_bytes: u64::MAX };
        let policy = ResourcePolicy { system_reserved: all, kube_reserved: all, ..policy() };
        let found = allocatable(&facts(), &policy);
        for name in ["cpu", "memory", "ephemeral-storage"] {
            assert_eq!(found[name].0, "0", "{name}");
        }
    }

    #[test]
    fn a_part_is_computed_and_written_as_the_kubelet_does_and_an_amount_stays_as_it_was_written() {
        let part = |percent: f32| Threshold::Part(percent / 100.0);
        let amount = |text: &str| Threshold::Amount(text.parse().unwrap());
        for (threshold, capacity, value, text) in [
            (part(5.0), 1_000_000, 50_000, "50000"),
            (part(5.0), 6_553_600, 327_680, "320Ki"),
            // 10 % is a little more than a tenth: the nearest number of 32 bits.
            (part(10.0), 1_000_000_000_000, 100_000_001_490, "100000001490"),
            (amount("1G"), 1, 1_000_000_000, "1G"),
            (amount("1000Mi"), 1, 1000 << 20, "1000Mi"),
            (amount("50k"), 1, 50_000, "50k"),
        ] {
            assert_eq!((threshold.of(capacity), threshold.text(capacity).as_str()), (value, text));
        }
    }

    #[test]
    fn bytes_take_the_largest_suffix_that_leaves_them_whole() {
        for (value, expected) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1Ki"),
            (1536 * 1024, "1536Ki"),
            (1 << 60, "1Ei"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(bytes(value).0, expected);
        }
    }
}
