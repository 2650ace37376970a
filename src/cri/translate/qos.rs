//! A pod's quality of service class.
//!
//! Rule: Kubernetes' `pkg/apis/core/v1/helper/qos`. The class decides the pod's cgroup and how soon its processes are killed
//! when memory runs out. It relies on requests having been defaulted from limits.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::amount::milli;
use super::error::TranslateError;
use super::pod_resources::has_pod_level_resources;
use super::view::{PodView, init_containers};

const COUNTED: [&str; 2] = ["cpu", "memory"];

type List = Option<BTreeMap<String, Quantity>>;

/// How firmly a pod's resources are promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QosClass {
    /// Limits for everything, and requests equal to them.
    Guaranteed,
    /// Something between the two others.
    Burstable,
    /// No request and no limit at all.
    BestEffort,
}

impl QosClass {
    /// The class as a pod's status has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            QosClass::Guaranteed => "Guaranteed",
            QosClass::Burstable => "Burstable",
            QosClass::BestEffort => "BestEffort",
        }
    }

    /// The class of a pod: the one its status names, or the one its spec makes.
    ///
    /// # Errors
    /// The pod has no spec or no identity.
    pub fn of(pod: &Pod) -> Result<Self, TranslateError> {
        let told = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
        match told {
            Some("Guaranteed") => Ok(QosClass::Guaranteed),
            Some("Burstable") => Ok(QosClass::Burstable),
            Some("BestEffort") => Ok(QosClass::BestEffort),
            _ => Ok(Self::of_spec(PodView::of(pod)?.spec)),
        }
    }

    /// The class that a spec makes.
    pub fn of_spec(spec: &PodSpec) -> Self {
        let mut requests = Sums::default();
        let mut limits = Sums::default();
        let mut all_limited = true;
        if let Some(resources) = spec.resources.as_ref().filter(|_| has_pod_level_resources(spec)) {
            requests.add(&resources.requests);
            all_limited = limits.add(&resources.limits);
        } else {
            for container in spec.containers.iter().chain(init_containers(spec)) {
                let resources = container.resources.as_ref();
                requests.add(resources.map_or(&None, |resources| &resources.requests));
                all_limited &= limits.add(resources.map_or(&None, |resources| &resources.limits));
            }
        }
        if requests.0.is_empty() && limits.0.is_empty() {
            QosClass::BestEffort
        } else if all_limited && requests.0 == limits.0 {
            QosClass::Guaranteed
        } else {
            QosClass::Burstable
        }
    }
}

impl fmt::Display for QosClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// CPU and memory summed; what is zero does not count.
#[derive(Default)]
struct Sums(BTreeMap<&'static str, i128>);

impl Sums {
    /// Adds one list and says whether it has all that counts.
    fn add(&mut self, list: &List) -> bool {
        let mut found = 0;
        for name in COUNTED {
            let amount = list.as_ref().and_then(|list| list.get(name)).map_or(0, milli);
            if amount > 0 {
                *self.0.entry(name).or_default() += amount;
                found += 1;
            }
        }
        found == COUNTED.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{container, pod_spec};
    use super::*;

    #[test]
    fn the_class_follows_from_cpu_and_memory_alone() {
        use QosClass::{BestEffort, Burstable, Guaranteed};
        let limited = r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1000m","memory":"1024Mi"}}"#;
        for (containers, class) in [
            (vec!["{}"], BestEffort),
            (vec![r#"{"requests":{"cpu":"0"}}"#], BestEffort),
            (vec![r#"{"requests":{"ephemeral-storage":"1Gi"}}"#], BestEffort),
            (vec![r#"{"requests":{"cpu":"1m"}}"#], Burstable),
            (vec![r#"{"limits":{"cpu":"1"}}"#], Burstable),
            (vec![limited], Guaranteed),
            (vec![limited, limited], Guaranteed),
            (vec![limited, "{}"], Burstable),
            (
                vec![r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1","memory":"1Mi"}}"#],
                Burstable,
            ),
            (vec![r#"{"limits":{"cpu":"1","memory":"1Gi"}}"#], Burstable),
        ] {
            let spec = pod_spec(containers.iter().map(|resources| container("c", resources)).collect());
            assert_eq!(QosClass::of_spec(&spec), class, "{containers:?}");
        }
    }

    #[test]
    fn init_containers_count() {
        let limited = r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1","memory":"1Gi"}}"#;
        let mut spec = pod_spec(vec![container("c", limited)]);
        spec.init_containers = Some(vec![container("i", "{}")]);
        assert_eq!(QosClass::of_spec(&spec), QosClass::Burstable);
    }

    #[test]
    fn pod_level_resources_speak_for_the_whole_pod() {
        let mut spec = pod_spec(vec![container("c", "{}")]);
        spec.resources = serde_json::from_str(
            r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1","memory":"1Gi"}}"#,
        )
        .ok();
        assert_eq!(QosClass::of_spec(&spec), QosClass::Guaranteed);
    }
}
