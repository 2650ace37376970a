//! Which pod goes first.
//!
//! Memory and disk: those that use more than they request, then the lower priority, then those that use most beyond their request. Processes:
//! the lower priority, then those with most of them. A pod of which nothing could be measured goes before the others of its rank. Critical
//! pods never go. Rules: `rankMemoryPressure`, `rankDiskPressureFunc`, `rankPIDPressure`, `evictPod` of `pkg/kubelet/eviction`.

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::Pod;

use super::signal::Resource;

/// From this priority on a pod is critical (`SystemCriticalPriority`).
const CRITICAL: i32 = 2_000_000_000;

/// A pod, and how it stands with what is short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<P> {
    /// Which pod.
    pub pod: P,
    /// Its priority.
    pub priority: i32,
    /// What it uses of what is short, if that could be measured.
    pub used: Option<u64>,
    /// What it requests of it.
    pub requested: u64,
}

/// A pod's priority.
pub fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default()
}

/// Whether the node would rather suffer than do without this pod (`IsCriticalPod`).
pub fn is_critical(pod: &Pod) -> bool {
    priority(pod) >= CRITICAL
}

/// Puts those that may go in the order in which they go.
pub fn rank<P>(resource: Resource, candidates: Vec<Candidate<P>>) -> Vec<Candidate<P>> {
    let mut ranked: Vec<_> =
        candidates.into_iter().filter(|candidate| candidate.priority < CRITICAL).collect();
    // What isn't known counts as the most, so that it comes first.
    let used = |candidate: &Candidate<P>| candidate.used.unwrap_or(u64::MAX);
    match resource {
        Resource::Pids => {
            ranked.sort_by_key(|candidate| (candidate.priority, Reverse(used(candidate))));
        }
        Resource::Memory | Resource::EphemeralStorage | Resource::Inodes => ranked.sort_by_key(|candidate| {
            let beyond = i128::from(used(candidate)) - i128::from(candidate.requested);
            let known = candidate.used.is_some();
            (known, beyond <= 0, candidate.priority, Reverse(beyond))
        }),
    }
    ranked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(pod: &'static str, priority: i32, used: Option<u64>, requested: u64) -> Candidate<&'static str> {
        Candidate { pod, priority, used, requested }
    }

    fn order(resource: Resource, candidates: Vec<Candidate<&'static str>>) -> String {
        rank(resource, candidates).iter().map(|it| it.pod).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn those_beyond_their_request_go_first_then_the_less_important_then_the_greediest() {
        let candidates = vec![
            of("within", -5, Some(100), 100),
            of("important", 100, Some(900), 0),
            of("greedy", 0, Some(500), 100),
            of("greediest", 0, Some(600), 100),
            of("critical", CRITICAL, Some(5000), 0),
            of("unknown", 50, None, 0),
            of("modest", -5, Some(1), 100),
        ];
        for resource in [Resource::Memory, Resource::EphemeralStorage, Resource::Inodes] {
            let expected = "unknown greediest greedy important within modest";
            assert_eq!(order(resource, candidates.clone()), expected);
        }
    }

    #[test]
    fn processes_are_taken_from_the_less_important_whatever_they_request() {
        let candidates = vec![
            of("many", 0, Some(900), 0),
            of("few", 0, Some(3), 0),
            of("important", 9, Some(9000), 0),
            of("least", -1, Some(1), 0),
            of("critical", CRITICAL + 1000, Some(1), 0),
        ];
        assert_eq!(order(Resource::Pids, candidates), "least many few important");
    }

    proptest! {
        #[test]
        fn nobody_within_its_request_goes_before_one_beyond_it(pods in proptest::collection::vec((-9_i32..9, 0_u64..50, 0_u64..50), 0..12)) {
            let candidates = pods.iter().enumerate().map(|(pod, (priority, used, requested))| Candidate {
                pod, priority: *priority, used: Some(*used), requested: *requested,
            });
            let ranked = rank(Resource::Memory, candidates.collect());
            prop_assert_eq!(ranked.len(), pods.len());
            for pair in ranked.windows(2) {
                let beyond = |it: &Candidate<usize>| it.used > Some(it.requested);
                prop_assert!(beyond(&pair[0]) || !beyond(&pair[1]));
                if beyond(&pair[0]) == beyond(&pair[1]) {
                    prop_assert!(pair[0].priority <= pair[1].priority);
                }
            }
        }
    }
}
