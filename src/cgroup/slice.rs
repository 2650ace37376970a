//! What systemd is told of a pod's or a class's slice. Pure.
//!
//! Rules: the library by which the kubelet and runc use systemd (`opencontainers/cgroups`, `systemd/v1.go`, `v2.go`). What systemd has no
//! property for, huge pages, is written into the cgroup's files all the same.

use super::Version;
use super::limits::{CpuQuota, Limits};
use crate::systemd::units::{Property, Value};

/// systemd counts quotas in hundredths of a CPU: microseconds a second, by tens of thousands.
const QUOTA_STEP: u64 = 10_000;

/// The last name in a path of slices: the unit.
pub(super) fn unit_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// What a new slice is made with, beside its limits. It wants the slice that it lies in.
pub(super) fn frame(path: &str, version: Version) -> Vec<Property> {
    let unit = unit_of(path);
    let mut frame = vec![
        Property { name: "Description", value: Value::Text(format!("Kubernetes pods in {unit}")) },
        Property { name: "DefaultDependencies", value: Value::Flag(false) },
    ];
    if let Some(parent) = path.rsplit('/').nth(1).filter(|parent| !parent.is_empty()) {
        frame.push(Property { name: "Wants", value: Value::Names(vec![parent.to_owned()]) });
    }
    let io = if version == Version::V2 { "IOAccounting" } else { "BlockIOAccounting" };
    let accounting = ["CPUAccounting", "MemoryAccounting", "TasksAccounting", io];
    frame.extend(accounting.map(|name| Property { name, value: Value::Flag(true) }));
    frame
}

/// Limits as properties of a unit; what is not limited is left as it is.
pub(super) fn limits(limits: &Limits, version: Version) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut set = |name, number: u64| properties.push(Property { name, value: Value::Number(number) });
    let v2 = version == Version::V2;
    if let Some(shares) = limits.cpu_shares() {
        if v2 {
            set("CPUWeight", super::limits::weight(shares));
        } else {
            set("CPUShares", shares);
        }
    }
    if let Some(CpuQuota { quota, period }) = limits.cpu_quota
        && period > 0
    {
        // The period first: systemd rounds the quota to it.
        set("CPUQuotaPeriodUSec", period);
        let per_second = (quota.saturating_mul(1_000_000) / period).next_multiple_of(QUOTA_STEP);
        set("CPUQuotaPerSecUSec", per_second);
    }
    if let Some(bytes) = limits.memory {
        set(if v2 { "MemoryMax" } else { "MemoryLimit" }, bytes);
    }
    if let Some(pids) = limits.pids {
        set("TasksMax", pids);
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(properties: &[Property]) -> Vec<String> {
        let value = |value: &Value| match value {
            Value::Flag(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::Names(names) => names.join(","),
        };
        properties.iter().map(|it| format!("{}={}", it.name, value(&it.value))).collect()
    }

    #[test]
    fn limits_become_the_properties_of_each_version() {
        let pod = Limits {
            cpu_shares: Some(1024),
            cpu_quota: Some(CpuQuota { quota: 20_500, period: 100_000 }),
            memory: Some(1 << 20),
            pids: Some(100),
            ..Limits::default()
        };
        let v2 = [
            "CPUWeight=39",
            "CPUQuotaPeriodUSec=100000",
            "CPUQuotaPerSecUSec=210000",
            "MemoryMax=1048576",
            "TasksMax=100",
        ];
        assert_eq!(shown(&limits(&pod, Version::V2)), v2);
        let v1 = [
            "CPUShares=1024",
            "CPUQuotaPeriodUSec=100000",
            "CPUQuotaPerSecUSec=210000",
            "MemoryLimit=1048576",
            "TasksMax=100",
        ];
        assert_eq!(shown(&limits(&pod, Version::V1)), v1);
        assert!(limits(&Limits::default(), Version::V2).is_empty());
        let fewest = Limits { cpu_shares: Some(0), ..Limits::default() };
        assert_eq!(shown(&limits(&fewest, Version::V1)), ["CPUShares=2"]);
        assert_eq!(shown(&limits(&fewest, Version::V2)), ["CPUWeight=1"]);
    }

    #[test]
    fn a_slice_wants_the_one_that_it_lies_in_and_counts_what_it_uses() {
        let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podu_1.slice";
        assert_eq!(unit_of(pod), "kubepods-burstable-podu_1.slice");
        assert_eq!(
            shown(&frame(pod, Version::V2)),
            [
                "Description=Kubernetes pods in kubepods-burstable-podu_1.slice",
                "DefaultDependencies=false",
                "Wants=kubepods-burstable.slice",
                "CPUAccounting=true",
                "MemoryAccounting=true",
                "TasksAccounting=true",
                "IOAccounting=true",
            ]
        );
        let root = shown(&frame("/kubepods.slice", Version::V1));
        assert!(!root.iter().any(|it| it.starts_with("Wants")), "{root:?}");
        assert!(root.contains(&"BlockIOAccounting=true".to_owned()), "{root:?}");
    }
}
