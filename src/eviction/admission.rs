//! Which pods a node under pressure still takes (`Admit` of `pkg/kubelet/eviction/eviction_manager.go`).
//!
//! A critical pod always. Under memory pressure alone every pod that has a request or limit, and a `BestEffort` one that tolerates the
//! pressure's taint: every DaemonSet's pod does, for it is given the toleration. Under any other pressure no pod, whatever it tolerates.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Taint};

use super::rank::is_critical;
use crate::cri::translate::QosClass;
use crate::node::PressureKind;
use crate::placement::tolerates;

/// Why a node under pressure does not take this pod; `None` if it does.
pub fn refusal(pressure: &BTreeSet<PressureKind>, pod: &Pod, class: QosClass) -> Option<String> {
    if pressure.is_empty() || is_critical(pod) {
        return None;
    }
    let only_memory = pressure.iter().all(|kind| *kind == PressureKind::Memory);
    if only_memory && (class != QosClass::BestEffort || tolerates_memory_pressure(pod)) {
        return None;
    }
    let conditions: Vec<&str> = pressure.iter().map(|kind| kind.condition()).collect();
    Some(format!("The node had condition: [{}]. ", conditions.join(" ")))
}

fn tolerates_memory_pressure(pod: &Pod) -> bool {
    let taint = Taint {
        key: PressureKind::Memory.taint_key().to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    tolerations.iter().any(|toleration| tolerates(toleration, &taint))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_is_taken_under_which_pressure() {
        use PressureKind::{Disk, Memory, Pid};
        let plain = json!({"containers": []});
        let tolerant = json!({"containers": [], "tolerations": [
            {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/disk-pressure", "operator": "Exists", "effect": "NoSchedule"}]});
        let critical = json!({"containers": [], "priority": 2_000_000_000});
        let important = json!({"containers": [], "priority": 1_999_999_999});
        let (best, burst) = (QosClass::BestEffort, QosClass::Burstable);
        for (spec, class, pressure, refused) in [
            (&plain, best, vec![], None),
            (&plain, best, vec![Memory], Some("[MemoryPressure]")),
            (&plain, burst, vec![Memory], None),
            (&tolerant, best, vec![Memory], None),
            (&tolerant, best, vec![Disk], Some("[DiskPressure]")),
            (&tolerant, burst, vec![Memory, Disk], Some("[MemoryPressure DiskPressure]")),
            (&important, burst, vec![Pid], Some("[PIDPressure]")),
            (&critical, best, vec![Memory, Disk, Pid], None),
        ] {
            let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": spec})).expect("a pod");
            let found = refusal(&pressure.iter().copied().collect(), &pod, class);
            let expected = refused.map(|conditions| format!("The node had condition: {conditions}. "));
            assert_eq!(found, expected, "{spec} {class:?} {pressure:?}");
        }
    }
}
