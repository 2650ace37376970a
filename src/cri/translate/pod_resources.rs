//! What a whole pod requests and may use: the sums over its containers, with the start-up peak of its init containers.
//!
//! Rule: Kubernetes' `component-helpers/resource/helpers.go` (`PodRequests`, `PodLimits`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::amount::{milli, quantity, whole};
use super::view::{init_containers, is_sidecar};

type List = BTreeMap<String, Quantity>;

/// Amounts by resource name, in thousandths of the resource's unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<String, i128>);

impl Amounts {
    /// Thousandths of a unit; `None` where the resource is not named at all.
    pub fn milli(&self, resource: &str) -> Option<i64> {
        self.0.get(resource).map(|amount| i64::try_from(*amount).unwrap_or(i64::MAX))
    }

    /// Whole units, rounded up; 0 where the resource is not named.
    pub fn whole(&self, resource: &str) -> i64 {
        self.0.get(resource).map_or(0, |amount| whole(*amount))
    }

    /// Each resource named, with whole units.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), whole(*amount)))
    }

    pub(super) fn of(list: Option<&List>) -> Self {
        Self(list.into_iter().flatten().map(|(name, quantity)| (name.clone(), milli(quantity))).collect())
    }

    pub(super) fn set_if_absent(&mut self, resource: &str, milli: i128) {
        self.0.entry(resource.to_owned()).or_insert(milli);
    }

    fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() += amount;
        }
    }

    fn raise_to(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_insert(*amount);
            *own = (*own).max(*amount);
        }
    }
}

/// Whether a pod's overhead counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overhead {
    /// What the runtime itself needs is part of the sum.
    Counted,
    /// Only what the containers need.
    Left,
}

/// What the pod requests.
pub fn pod_requests(spec: &PodSpec, overhead: Overhead) -> Amounts {
    let mut sum = aggregate(spec, |container| container.resources.as_ref()?.requests.as_ref());
    replace(&mut sum, spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    if overhead == Overhead::Counted {
        sum.add(&Amounts::of(spec.overhead.as_ref()));
    }
    sum
}

/// What the pod may use. A container without a limit adds nothing to the sum, so the sum alone limits nothing.
pub fn pod_limits(spec: &PodSpec, overhead: Overhead) -> Amounts {
    let mut sum = aggregate(spec, |container| container.resources.as_ref()?.limits.as_ref());
    replace(&mut sum, spec.resources.as_ref().and_then(|resources| resources.limits.as_ref()));
    if overhead == Overhead::Counted {
        let mut more = Amounts::of(spec.overhead.as_ref());
        more.0.retain(|name, _| sum.0.contains_key(name));
        sum.add(&more);
    }
    sum
}

/// What a pod that names some resources itself requests where it leaves requests out: what its containers request together,
/// or else its own limits. Huge pages can't be overcommitted and so only follow the limits.
pub fn default_pod_level_requests(spec: &mut PodSpec) {
    if !has_pod_level_resources(spec) {
        return;
    }
    let containers = aggregate(spec, |container| container.resources.as_ref()?.requests.as_ref());
    let Some(resources) = spec.resources.as_mut() else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, amount) in containers.0 {
        if matches!(name.as_str(), "cpu" | "memory") {
            requests.entry(name).or_insert_with(|| quantity(amount));
        }
    }
    for (name, limit) in resources.limits.iter().flatten().filter(|(name, _)| is_pod_level(name)) {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

/// Whether the pod itself, not only its containers, names resources that Kubernetes knows at that level.
pub(super) fn has_pod_level_resources(spec: &PodSpec) -> bool {
    let lists = spec.resources.iter().flat_map(|resources| [&resources.requests, &resources.limits]);
    lists.flatten().flat_map(BTreeMap::keys).any(|name| is_pod_level(name))
}

fn is_pod_level(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

fn aggregate<'a>(spec: &'a PodSpec, list: impl Fn(&'a Container) -> Option<&'a List>) -> Amounts {
    let mut running = Amounts::default();
    for container in &spec.containers {
        running.add(&Amounts::of(list(container)));
    }
    let mut sidecars = Amounts::default();
    let mut peak = Amounts::default();
    for container in init_containers(spec) {
        let own = Amounts::of(list(container));
        if is_sidecar(container) {
            running.add(&own);
            sidecars.add(&own);
            peak.raise_to(&sidecars);
        } else {
            let mut with_sidecars = own;
            with_sidecars.add(&sidecars);
            peak.raise_to(&with_sidecars);
        }
    }
    running.raise_to(&peak);
    running
}

fn replace(sum: &mut Amounts, pod_level: Option<&List>) {
    for (name, amount) in Amounts::of(pod_level).0 {
        if is_pod_level(&name) {
            sum.0.insert(name, amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{container, pod_spec};
    use super::*;

    #[test]
    fn init_containers_count_by_their_peak_and_sidecars_for_good() {
        let request = |cpu: &str| format!(r#"{{"requests":{{"cpu":"{cpu}"}}}}"#);
        let mut spec = pod_spec(vec![container("a", &request("100m")), container("b", &request("100m"))]);
        assert_eq!(pod_requests(&spec, Overhead::Counted).milli("cpu"), Some(200));
        let mut sidecar = container("s", &request("50m"));
        sidecar.restart_policy = Some("Always".to_owned());
        spec.init_containers = Some(vec![sidecar.clone(), container("i", &request("400m"))]);
        assert_eq!(pod_requests(&spec, Overhead::Counted).milli("cpu"), Some(450));
        spec.init_containers = Some(vec![container("i", &request("240m")), sidecar]);
        assert_eq!(pod_requests(&spec, Overhead::Counted).milli("cpu"), Some(250));
    }

    #[test]
    fn overhead_adds_to_requests_and_only_to_limits_that_exist() {
        let mut spec = pod_spec(vec![container("a", r#"{"limits":{"cpu":"1"},"requests":{"cpu":"1"}}"#)]);
        spec.overhead = serde_json::from_str(r#"{"cpu":"250m","memory":"10Mi"}"#).ok();
        let requests = pod_requests(&spec, Overhead::Counted);
        assert_eq!((requests.milli("cpu"), requests.whole("memory")), (Some(1250), 10 << 20));
        let limits = pod_limits(&spec, Overhead::Counted);
        assert_eq!((limits.milli("cpu"), limits.milli("memory")), (Some(1250), None));
        assert_eq!(pod_limits(&spec, Overhead::Left).milli("cpu"), Some(1000));
    }

    #[test]
    fn a_pod_requests_what_its_containers_do_or_else_its_limits() {
        let mut spec = pod_spec(vec![container("a", r#"{"requests":{"cpu":"250m"}}"#)]);
        default_pod_level_requests(&mut spec);
        assert_eq!(spec.resources, None);
        spec.resources = serde_json::from_str(r#"{"limits":{"cpu":"1","memory":"1Gi"}}"#).ok();
        default_pod_level_requests(&mut spec);
        let requests = spec.resources.unwrap().requests.unwrap();
        assert_eq!((requests["cpu"].0.as_str(), requests["memory"].0.as_str()), ("250m", "1Gi"));
    }

    #[test]
    fn pod_level_figures_replace_the_sums() {
        let mut spec = pod_spec(vec![container("a", r#"{"requests":{"cpu":"1","example.com/dev":"2"}}"#)]);
        spec.resources = serde_json::from_str(r#"{"requests":{"cpu":"3","example.com/dev":"9"}}"#).ok();
        let requests = pod_requests(&spec, Overhead::Counted);
        assert_eq!((requests.milli("cpu"), requests.whole("example.com/dev")), (Some(3000), 2));
    }
}
