//! The limits of a pod's own cgroup, which the agent makes before the sandbox.
//!
//! Rule: `ResourceConfigForPod` in the kubelet's `pkg/kubelet/cm/helpers_linux.go`. Writing them to the kernel is another room's
//! work.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::error::TranslateError;
use super::host::Host;
use super::hugepages::page_size;
use super::pod_resources::{Amounts, Overhead, pod_limits, pod_requests};
use super::qos::QosClass;
use super::resources::{cpu_quota, cpu_shares, micros};
use super::view::{PodView, init_containers, is_sidecar};

const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;

/// A pod's cgroup and what is written into it; `None` leaves the kernel's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodCgroupLimits {
    /// cgroup v1's `cpu.shares`; [`cpu_weight`] is the same for v2.
    pub cpu_shares: i64,
    /// CPU time in each period.
    pub cpu_quota: Option<CpuQuota>,
    /// Bytes of memory.
    pub memory_bytes: Option<i64>,
    /// The most processes.
    pub pids: Option<i64>,
    /// Bytes of huge pages by page size (`2MB`), one entry for every size the host has.
    pub hugepages: Vec<(String, i64)>,
}

/// CPU time within a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuQuota {
    /// Microseconds of CPU time.
    pub quota_micros: i64,
    /// The period's length in microseconds.
    pub period_micros: i64,
}

/// The limits of the pod's cgroup.
///
/// # Errors
/// The pod has no spec or no identity.
pub fn pod_cgroup_limits(pod: &Pod, host: &Host) -> Result<PodCgroupLimits, TranslateError> {
    let class = QosClass::of(pod)?;
    let spec = PodView::of(pod)?.spec;
    let requests = pod_requests(spec, Overhead::Counted);
    let limits = pod_limits(spec, Overhead::Counted);
    let capped = |resource| match class {
        QosClass::Guaranteed => true,
        QosClass::Burstable => every_container_is_limited(spec, resource),
        QosClass::BestEffort => false,
    };
    let quota = host.cpu_cfs_period.map(|period| CpuQuota {
        quota_micros: cpu_quota(limits.milli("cpu").unwrap_or_default(), period),
        period_micros: micros(period),
    });
    Ok(PodCgroupLimits {
        cpu_shares: match class {
            QosClass::BestEffort => MIN_SHARES,
            _ => cpu_shares(requests.milli("cpu").unwrap_or_default()),
        },
        cpu_quota: quota.filter(|_| capped("cpu")),
        memory_bytes: capped("memory").then(|| limits.whole("memory")),
        pids: host.pod_pids_limit.filter(|limit| *limit > 0),
        hugepages: hugepages(&requests, host),
    })
}

/// cgroup v2's `cpu.weight` for cgroup v1's shares.
pub fn cpu_weight(shares: i64) -> i64 {
    1 + (shares.clamp(MIN_SHARES, MAX_SHARES) - MIN_SHARES) * 9999 / (MAX_SHARES - MIN_SHARES)
}

/// CPU shares for the cgroup of all burstable pods: their requests together.
///
/// # Errors
/// A pod has no spec or no identity.
pub fn burstable_cpu_shares<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Result<i64, TranslateError> {
    let mut requested = 0_i64;
    for pod in pods {
        if QosClass::of(pod)? == QosClass::Burstable {
            let requests = pod_requests(PodView::of(pod)?.spec, Overhead::Counted);
            requested = requested.saturating_add(requests.milli("cpu").unwrap_or_default());
        }
    }
    Ok(cpu_shares(requested))
}

fn every_container_is_limited(spec: &PodSpec, resource: &str) -> bool {
    let of_pod = spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    if Amounts::of(of_pod).milli(resource).is_some_and(|limit| limit > 0) {
        return true;
    }
    let is_limited = |container: &Container| {
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        Amounts::of(limits).milli(resource).is_some_and(|limit| limit > 0)
    };
    // An init container counts with the sidecars before it, whose limits it adds to.
    let mut sidecars_are_limited = false;
    let init_are = init_containers(spec).iter().all(|container| {
        let counts = is_limited(container) || sidecars_are_limited;
        sidecars_are_limited |= is_sidecar(container) && is_limited(container);
        counts
    });
    init_are && spec.containers.iter().all(is_limited)
}

fn hugepages(requests: &Amounts, host: &Host) -> Vec<(String, i64)> {
    let requested = |size: &String| {
        let named = requests.iter().find(|(resource, _)| page_size(resource).as_ref() == Some(size));
        named.map_or(0, |(_, bytes)| bytes)
    };
    host.hugepage_sizes.iter().map(|size| (size.clone(), requested(size))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{container, pod, pod_spec};
    use super::*;

    fn limits(containers: &[&str]) -> PodCgroupLimits {
        let spec = pod_spec(containers.iter().map(|resources| container("c", resources)).collect());
        pod_cgroup_limits(&pod(spec), &Host::for_tests()).unwrap()
    }

    #[test]
    fn a_pod_is_capped_only_when_every_container_is() {
        let both = r#"{"limits":{"cpu":"500m","memory":"1Gi"},"requests":{"cpu":"250m","memory":"1Mi"}}"#;
        let made = limits(&[both, both]);
        assert_eq!(made.cpu_shares, 512);
        assert_eq!(made.cpu_quota, Some(CpuQuota { quota_micros: 100_000, period_micros: 100_000 }));
        assert_eq!(made.memory_bytes, Some(2 << 30));
        let made = limits(&[both, r#"{"limits":{"memory":"1Gi"},"requests":{"memory":"1Mi"}}"#]);
        assert_eq!((made.cpu_quota, made.memory_bytes), (None, Some(2 << 30)));
        assert_eq!(limits(&[both, "{}"]).memory_bytes, None);
    }

    #[test]
    fn a_limited_sidecar_stands_in_for_the_init_containers_after_it() {
        let limited = r#"{"limits":{"memory":"64Mi"},"requests":{"memory":"1Mi"}}"#;
        let memory = |init: Vec<Container>| {
            let mut spec = pod_spec(vec![container("c", limited)]);
            spec.init_containers = Some(init);
            pod_cgroup_limits(&pod(spec), &Host::for_tests()).unwrap().memory_bytes
        };
        let sidecar = |name: &str, resources: &str| Container {
            restart_policy: Some("Always".to_owned()),
            ..container(name, resources)
        };
        let plain = || container("i", "{}");
        assert_eq!(memory(vec![sidecar("s", limited), plain(), sidecar("t", "{}")]), Some(128 << 20));
        assert_eq!(memory(vec![plain(), sidecar("s", limited)]), None, "the order counts");
        assert_eq!(memory(vec![container("i", limited), plain()]), None, "one that ends stands in for none");
    }

    #[test]
    fn a_pod_without_figures_gets_the_least() {
        let made = limits(&["{}"]);
        assert_eq!((made.cpu_shares, made.cpu_quota, made.memory_bytes, made.pids), (2, None, None, None));
        assert_eq!(made.hugepages, [("2MB".to_owned(), 0)]);
    }

    #[test]
    fn an_init_container_without_limits_lifts_the_cap() {
        let both = r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1","memory":"1Gi"}}"#;
        let mut spec = pod_spec(vec![container("c", both)]);
        spec.init_containers = Some(vec![container("i", "{}")]);
        let made = pod_cgroup_limits(&pod(spec), &Host::for_tests()).unwrap();
        assert_eq!((made.cpu_quota, made.memory_bytes), (None, None));
    }

    #[test]
    fn shares_become_a_weight() {
        for (shares, weight) in [(0, 1), (2, 1), (1024, 39), (262_144, 10_000), (999_999, 10_000)] {
            assert_eq!(cpu_weight(shares), weight, "{shares}");
        }
    }

    #[test]
    fn the_burstable_cgroup_has_the_shares_of_its_pods() {
        let burstable = pod(pod_spec(vec![container("c", r#"{"requests":{"cpu":"250m"}}"#)]));
        let best_effort = pod(pod_spec(vec![container("c", "{}")]));
        assert_eq!(burstable_cpu_shares([&burstable, &best_effort, &burstable]).unwrap(), 512);
        assert_eq!(burstable_cpu_shares([&best_effort]).unwrap(), 2);
    }
}
