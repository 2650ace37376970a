//! How soon the kernel kills a container's processes when memory runs out.
//!
//! Rule: `GetContainerOOMScoreAdjust` in the kubelet's `pkg/kubelet/qos/policy.go`.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::amount::whole_of;
use super::pod_resources::{Overhead, has_pod_level_resources, pod_requests};
use super::qos::QosClass;
use super::view::{init_containers, is_sidecar};

const GUARANTEED: i64 = -997;
const BEST_EFFORT: i64 = 1000;
/// From this priority up a pod is one that the node can't do without.
pub(super) const CRITICAL_PRIORITY: i32 = 2_000_000_000;
const NODE_CRITICAL_CLASS: &str = "system-node-critical";

/// The container's `oom_score_adj`.
pub fn oom_score_adj(spec: &PodSpec, class: QosClass, container: &Container, capacity_bytes: i64) -> i64 {
    let node_critical = spec.priority_class_name.as_deref() == Some(NODE_CRITICAL_CLASS);
    if node_critical && spec.priority.is_some_and(|priority| priority >= CRITICAL_PRIORITY) {
        return GUARANTEED;
    }
    match class {
        QosClass::Guaranteed => GUARANTEED,
        QosClass::BestEffort => BEST_EFFORT,
        QosClass::Burstable => burstable(spec, container, capacity_bytes.max(1)),
    }
}

fn burstable(spec: &PodSpec, container: &Container, capacity_bytes: i64) -> i64 {
    let unclaimed = unclaimed_per_container(spec);
    let score = |request: i64| {
        1000 - i64::try_from(i128::from(request) * 1000 / i128::from(capacity_bytes)).unwrap_or(i64::MAX)
    };
    let mut adjusted = score(memory_request(container).saturating_add(unclaimed));
    if is_sidecar(container) && init_containers(spec).iter().any(|init| init.name == container.name) {
        // A sidecar should outlive the containers it serves.
        let smallest = spec.containers.iter().map(memory_request).min().unwrap_or_default();
        adjusted = adjusted.min(score(smallest.saturating_add(unclaimed)));
    }
    adjusted.clamp(1000 + GUARANTEED, BEST_EFFORT - 1)
}

/// What the pod itself requests beyond its containers, shared out evenly.
fn unclaimed_per_container(spec: &PodSpec) -> i64 {
    if !has_pod_level_resources(spec) {
        return 0;
    }
    let containers = spec.containers.iter().chain(init_containers(spec));
    let count = i64::try_from(spec.containers.len() + init_containers(spec).len()).unwrap_or(1).max(1);
    let claimed: i64 = containers.map(memory_request).sum();
    (pod_requests(spec, Overhead::Left).whole("memory") - claimed).max(0) / count
}

fn memory_request(container: &Container) -> i64 {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    requests.and_then(|list| list.get("memory")).map_or(0, whole_of)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{container, pod_spec};
    use super::*;
    use proptest::prelude::*;

    const GIB: i64 = 1 << 30;

    fn requesting(memory: &str) -> Container {
        container("c", &format!(r#"{{"requests":{{"memory":"{memory}","cpu":"1m"}}}}"#))
    }

    fn score(container: &Container, class: QosClass) -> i64 {
        oom_score_adj(&pod_spec(vec![container.clone()]), class, container, 8 * GIB)
    }

    #[test]
    fn the_class_sets_the_range_and_the_request_the_place_in_it() {
        use QosClass::{BestEffort, Burstable, Guaranteed};
        for (memory, class, expected) in [
            ("1Gi", Guaranteed, -997),
            ("0", BestEffort, 1000),
            ("0", Burstable, 999),
            ("1Mi", Burstable, 999),
            ("1Gi", Burstable, 875),
            ("8Gi", Burstable, 3),
            ("80Gi", Burstable, 3),
        ] {
            assert_eq!(score(&requesting(memory), class), expected, "{memory} {class}");
        }
    }

    #[test]
    fn only_the_node_critical_class_with_its_priority_is_spared() {
        let mut spec = pod_spec(vec![requesting("0")]);
        let adjusted = |spec: &PodSpec| oom_score_adj(spec, QosClass::BestEffort, &spec.containers[0], GIB);
        spec.priority_class_name = Some(NODE_CRITICAL_CLASS.to_owned());
        assert_eq!(adjusted(&spec), 1000);
        spec.priority = Some(2_000_001_000);
        assert_eq!(adjusted(&spec), -997);
        spec.priority_class_name = Some("system-cluster-critical".to_owned());
        assert_eq!(adjusted(&spec), 1000);
    }

    #[test]
    fn a_sidecar_is_killed_no_sooner_than_what_it_serves() {
        let mut spec = pod_spec(vec![requesting("1Gi"), requesting("4Gi")]);
        let mut sidecar = requesting("1Mi");
        sidecar.name = "s".to_owned();
        sidecar.restart_policy = Some("Always".to_owned());
        spec.init_containers = Some(vec![sidecar.clone()]);
        assert_eq!(oom_score_adj(&spec, QosClass::Burstable, &sidecar, 8 * GIB), 875);
    }

    #[test]
    fn what_only_the_pod_requests_is_shared_out() {
        let mut spec = pod_spec(vec![requesting("1Gi"), requesting("1Gi")]);
        spec.resources = serde_json::from_str(r#"{"requests":{"memory":"4Gi"}}"#).ok();
        assert_eq!(oom_score_adj(&spec, QosClass::Burstable, &spec.containers[0], 8 * GIB), 750);
    }

    proptest! {
        #[test]
        fn a_burstable_score_stays_between_the_two_other_classes(bytes in 0_i64.., capacity in 1_i64..) {
            let container = requesting(&bytes.to_string());
            let spec = pod_spec(vec![container.clone()]);
            let score = oom_score_adj(&spec, QosClass::Burstable, &container, capacity);
            prop_assert!((3..=999).contains(&score));
        }

        #[test]
        fn requesting_more_never_raises_the_score(bytes in 0_i64..64 * GIB, more in 0_i64..64 * GIB) {
            let score = |bytes: i64| score(&requesting(&bytes.to_string()), QosClass::Burstable);
            prop_assert!(score(bytes + more) <= score(bytes));
        }
    }
}
