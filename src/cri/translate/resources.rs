//! A container's and a sandbox's limits in the kernel's terms: CPU shares and quota, memory, swap, huge pages.
//!
//! Rules: `generateLinuxContainerResources`, `calculateLinuxResources` and `configureContainerSwapResources` in the kubelet's
//! `pkg/kubelet/kuberuntime`, `MilliCPUToShares` and `MilliCPUToQuota` in its `pkg/kubelet/cm`.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::amount::milli;
use super::host::{Host, Swap};
use super::hugepages::page_size;
use super::oom_score::oom_score_adj;
use super::pod_resources::{Amounts, Overhead, pod_limits, pod_requests};
use super::qos::QosClass;
use crate::cgroup::Version;
use crate::cri::proto::{HugepageLimit, LinuxContainerResources};

const SHARES_PER_CPU: i64 = 1024;
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
const MIN_QUOTA_MICROS: i64 = 1000;

/// CPU shares (cgroup v1's `cpu.shares`) for thousandths of a CPU.
pub fn cpu_shares(milli_cpu: i64) -> i64 {
    (milli_cpu.saturating_mul(SHARES_PER_CPU) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// Microseconds of CPU time in each period for thousandths of a CPU; 0, which limits nothing, for none.
pub fn cpu_quota(milli_cpu: i64, period: Duration) -> i64 {
    if milli_cpu == 0 {
        return 0;
    }
    (milli_cpu.saturating_mul(micros(period)) / 1000).max(MIN_QUOTA_MICROS)
}

pub(super) fn micros(period: Duration) -> i64 {
    i64::try_from(period.as_micros()).unwrap_or(i64::MAX)
}

/// What the containers of the pod may use together, as the sandbox's request tells the runtime.
pub(super) fn of_sandbox(spec: &PodSpec, host: &Host) -> LinuxContainerResources {
    let requests = pod_requests(spec, Overhead::Left);
    let limits = pod_limits(spec, Overhead::Left);
    calculate(requests.milli("cpu"), limits.milli("cpu"), limits.whole("memory"), host)
}

/// What the runtime itself needs for the pod.
pub(super) fn of_overhead(spec: &PodSpec, host: &Host) -> LinuxContainerResources {
    let Some(overhead) = &spec.overhead else { return LinuxContainerResources::default() };
    let amounts = Amounts::of(Some(overhead));
    let cpu = amounts.milli("cpu").unwrap_or_default();
    calculate(Some(cpu), Some(cpu), amounts.whole("memory"), host)
}

/// What one container may use.
pub(super) fn of_container(
    spec: &PodSpec,
    class: QosClass,
    container: &Container,
    host: &Host,
) -> LinuxContainerResources {
    let own = container.resources.as_ref();
    let requests = Amounts::of(own.and_then(|resources| resources.requests.as_ref()));
    let mut limits = Amounts::of(own.and_then(|resources| resources.limits.as_ref()));
    let shared = spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    for resource in ["cpu", "memory"] {
        if let Some(limit) = shared.and_then(|shared| shared.get(resource)) {
            limits.set_if_absent(resource, milli(limit));
        }
    }
    let mut resources = calculate(requests.milli("cpu"), limits.milli("cpu"), limits.whole("memory"), host);
    resources.oom_score_adj = oom_score_adj(spec, class, container, host.memory_capacity_bytes);
    resources.hugepage_limits = hugepage_limits(&limits, host);
    limit_swap(&mut resources, class, &requests, &limits, is_critical(spec), host);
    resources
}

fn calculate(
    cpu_request: Option<i64>,
    cpu_limit: Option<i64>,
    memory_limit: i64,
    host: &Host,
) -> LinuxContainerResources {
    let limit = cpu_limit.unwrap_or_default();
    let mut resources = LinuxContainerResources {
        cpu_shares: cpu_shares(cpu_request.unwrap_or(limit)),
        memory_limit_in_bytes: memory_limit,
        ..LinuxContainerResources::default()
    };
    if let Some(period) = host.cpu_cfs_period {
        resources.cpu_period = micros(period);
        resources.cpu_quota = cpu_quota(limit, period);
    }
    if host.cgroups.version == Version::V2 && !host.cgroups.single_process_oom_kill {
        resources.unified.insert("memory.oom.group".to_owned(), "1".to_owned());
    }
    resources
}

fn hugepage_limits(limits: &Amounts, host: &Host) -> Vec<HugepageLimit> {
    let limit_of = |size: &String| {
        let named = limits.iter().find(|(resource, _)| page_size(resource).as_ref() == Some(size));
        named.map_or(0, |(_, bytes)| u64::try_from(bytes).unwrap_or_default())
    };
    let sizes = host.hugepage_sizes.iter();
    sizes.map(|size| HugepageLimit { page_size: size.clone(), limit: limit_of(size) }).collect()
}

fn limit_swap(
    resources: &mut LinuxContainerResources,
    class: QosClass,
    requests: &Amounts,
    limits: &Amounts,
    critical: bool,
    host: &Host,
) {
    let capacity = match host.swap {
        Swap::NoController => return,
        Swap::NoSwap => 0,
        Swap::Limited { capacity_bytes } => capacity_bytes,
    };
    if host.cgroups.version == Version::V1 {
        // Memory and swap together; equal to the memory limit it leaves no swap. Without a memory limit it is ignored.
        resources.memory_swap_limit_in_bytes = resources.memory_limit_in_bytes;
        return;
    }
    let request = requests.whole("memory");
    let share_due = class == QosClass::Burstable && request > 0 && request != limits.whole("memory");
    let swap = if share_due && !critical { share(request, host.memory_capacity_bytes, capacity) } else { 0 };
    resources.unified.insert("memory.swap.max".to_owned(), swap.to_string());
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the kubelet's own arithmetic"
)]
fn share(request: i64, memory: i64, swap: i64) -> i64 {
    (request as f64 / memory.max(1) as f64 * swap as f64) as i64
}

fn is_critical(spec: &PodSpec) -> bool {
    spec.priority.is_some_and(|priority| priority >= super::oom_score::CRITICAL_PRIORITY)
}

#[cfg(test)]
mod tests {
    use super::super::host::Cgroups;
    use super::super::testing::{container, pod_spec};
    use super::*;
    use proptest::prelude::*;

    fn of(resources: &str, host: &Host) -> LinuxContainerResources {
        let spec = pod_spec(vec![container("c", resources)]);
        of_container(&spec, QosClass::of_spec(&spec), &spec.containers[0], host)
    }

    #[test]
    fn cpu_turns_into_shares_and_quota() {
        for (milli, shares, quota) in [
            (0, 2, 0),
            (1, 2, 1000),
            (2, 2, 1000),
            (10, 10, 1000),
            (15, 15, 1500),
            (100, 102, 10_000),
            (1000, 1024, 100_000),
            (256_000, 262_144, 25_600_000),
            (900_000, 262_144, 90_000_000),
        ] {
            assert_eq!(cpu_shares(milli), shares, "{milli}");
            assert_eq!(cpu_quota(milli, Duration::from_millis(100)), quota, "{milli}");
        }
    }

    #[test]
    fn shares_come_from_the_request_and_only_without_one_from_the_limit() {
        let host = Host::for_tests();
        for (resources, shares, quota) in [
            ("{}", 2, 0),
            (r#"{"limits":{"cpu":"1"}}"#, 1024, 100_000),
            (r#"{"limits":{"cpu":"1"},"requests":{"cpu":"0"}}"#, 2, 100_000),
            (r#"{"requests":{"cpu":"500m"}}"#, 512, 0),
        ] {
            let made = of(resources, &host);
            assert_eq!((made.cpu_shares, made.cpu_quota, made.cpu_period), (shares, quota, 100_000));
        }
        let unlimited = Host { cpu_cfs_period: None, ..host };
        let made = of(r#"{"limits":{"cpu":"1"}}"#, &unlimited);
        assert_eq!((made.cpu_quota, made.cpu_period), (0, 0));
    }

    #[test]
    fn memory_is_what_the_limit_says() {
        let host = Host::for_tests();
        assert_eq!(of(r#"{"limits":{"memory":"64Mi"}}"#, &host).memory_limit_in_bytes, 64 << 20);
        assert_eq!(of(r#"{"requests":{"memory":"64Mi"}}"#, &host).memory_limit_in_bytes, 0);
    }

    #[test]
    fn a_container_without_a_limit_has_that_of_its_pod() {
        let mut spec = pod_spec(vec![container("c", r#"{"limits":{"cpu":"1"}}"#)]);
        spec.resources = serde_json::from_str(r#"{"limits":{"cpu":"2","memory":"1Gi"}}"#).ok();
        let made = of_container(&spec, QosClass::Burstable, &spec.containers[0], &Host::for_tests());
        assert_eq!((made.cpu_quota, made.memory_limit_in_bytes), (100_000, 1 << 30));
    }

    #[test]
    fn every_page_size_of_the_host_is_limited() {
        let host = Host { hugepage_sizes: vec!["2MB".into(), "1GB".into()], ..Host::for_tests() };
        let made = of(r#"{"limits":{"hugepages-2Mi":"4Mi","cpu":"1"}}"#, &host);
        let pairs: Vec<_> = made.hugepage_limits.iter().map(|l| (l.page_size.as_str(), l.limit)).collect();
        assert_eq!(pairs, [("2MB", 4 << 20), ("1GB", 0)]);
    }

    #[test]
    fn swap_is_withheld_unless_the_node_shares_it_out() {
        let limited = Swap::Limited { capacity_bytes: 4 << 30 };
        let burstable = r#"{"limits":{"memory":"2Gi"},"requests":{"memory":"1Gi"}}"#;
        let guaranteed = r#"{"limits":{"memory":"1Gi","cpu":"1"},"requests":{"memory":"1Gi","cpu":"1"}}"#;
        for (swap, resources, expected) in [
            (Swap::NoController, burstable, None),
            (Swap::NoSwap, burstable, Some("0")),
            (limited, burstable, Some("536870912")),
            (limited, guaranteed, Some("0")),
            (limited, "{}", Some("0")),
        ] {
            let made = of(resources, &Host { swap, ..Host::for_tests() });
            assert_eq!(made.unified.get("memory.swap.max").map(String::as_str), expected, "{swap:?}");
            assert_eq!(made.memory_swap_limit_in_bytes, 0);
        }
        let v1 = Cgroups { version: Version::V1, ..Host::for_tests().cgroups };
        let made = of(burstable, &Host { swap: limited, cgroups: v1, ..Host::for_tests() });
        assert_eq!(made.memory_swap_limit_in_bytes, 2 << 30);
        assert!(made.unified.is_empty());
    }

    #[test]
    fn a_sandbox_tells_the_sums_and_its_overhead() {
        let host = Host::for_tests();
        let mut spec = pod_spec(vec![
            container("a", r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"100m"}}"#),
            container("b", r#"{"requests":{"cpu":"100m"}}"#),
        ]);
        let made = of_sandbox(&spec, &host);
        assert_eq!((made.cpu_shares, made.cpu_quota, made.memory_limit_in_bytes), (204, 100_000, 1 << 30));
        assert_eq!((made.oom_score_adj, made.hugepage_limits.len()), (0, 0));
        assert_eq!(of_overhead(&spec, &host), LinuxContainerResources::default());
        spec.overhead = serde_json::from_str(r#"{"cpu":"250m","memory":"64Mi"}"#).ok();
        let overhead = of_overhead(&spec, &host);
        assert_eq!((overhead.cpu_shares, overhead.cpu_quota), (256, 25_000));
        assert_eq!(overhead.memory_limit_in_bytes, 64 << 20);
    }

    proptest! {
        #[test]
        fn shares_stay_in_the_kernels_range_and_never_fall(milli in 0_i64.., more in 0_i64..1_000_000) {
            let shares = cpu_shares(milli);
            prop_assert!((MIN_SHARES..=MAX_SHARES).contains(&shares));
            prop_assert!(cpu_shares(milli.saturating_add(more)) >= shares);
        }
    }
}
