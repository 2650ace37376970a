//! The systemd driver, on a systemd that only takes notes and a hierarchy of plain files.

use std::fs;
use std::path::Path;

use super::super::{CgroupManager, CpuQuota, Driver, HugePages, Limits, PodCgroup, Version};
use crate::systemd::fake::FakeSystemd;

const ROOT: &str = "/kubepods.slice";
const POD: &str = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a_b.slice";

fn manager(systemd: &FakeSystemd, mount: &Path) -> CgroupManager {
    // No tree of version 1 is mounted there: what is written into files is for the tests of the other driver.
    let manager = CgroupManager::new(Version::V1, Driver::Systemd, mount, ROOT).unwrap();
    manager.with_units(systemd.units())
}

#[tokio::test]
async fn slices_of_classes_and_pods_are_made_with_their_limits_and_stopped() {
    let (systemd, mount) = (FakeSystemd::start(), tempfile::tempdir().unwrap());
    let manager = manager(&systemd, mount.path());
    let node = Limits { cpu_shares: Some(2048), memory: Some(1 << 30), ..Limits::default() };
    let frame = |unit: &str, parent: &str| {
        format!(
            "StartTransientUnit {unit} Description=\"Kubernetes pods in {unit}\" DefaultDependencies=false{parent} \
             CPUAccounting=true MemoryAccounting=true TasksAccounting=true BlockIOAccounting=true"
        )
    };
    let wants = |parent: &str| format!(" Wants=[\"{parent}\"]");

    manager.ensure_qos_hierarchy(&node, 512).await.unwrap();
    let root = wants("kubepods.slice");
    assert_eq!(
        systemd.asked(),
        [
            format!("{} CPUShares=2048 MemoryLimit=1073741824", frame("kubepods.slice", "")),
            format!("{} CPUShares=512", frame("kubepods-burstable.slice", &root)),
            format!("{} CPUShares=2", frame("kubepods-besteffort.slice", &root)),
        ]
    );
    manager.ensure_qos_hierarchy(&node, 1024).await.unwrap();
    let changed = systemd.asked().into_iter().filter(|asked| asked.starts_with("Set")).collect::<Vec<_>>();
    assert_eq!(
        changed,
        [
            "SetUnitProperties kubepods.slice CPUShares=2048 MemoryLimit=1073741824",
            "SetUnitProperties kubepods-burstable.slice CPUShares=1024",
            "SetUnitProperties kubepods-besteffort.slice CPUShares=2",
        ]
    );

    let pod = Limits {
        cpu_shares: Some(256),
        cpu_quota: Some(CpuQuota { quota: 20_000, period: 100_000 }),
        memory: Some(32 << 20),
        pids: Some(50),
        huge_pages: HugePages::Unchanged,
    };
    manager.ensure_pod(POD, &pod).await.unwrap();
    manager.destroy_pod(POD).await.unwrap();
    manager.destroy_pod(POD).await.expect("one that has gone is done");
    let unit = "kubepods-burstable-pod0a_b.slice";
    let limits =
        "CPUShares=256 CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=200000 MemoryLimit=33554432 TasksMax=50";
    let made = format!("{} {limits}", frame(unit, &wants("kubepods-burstable.slice")));
    assert_eq!(systemd.asked(), [made, format!("StopUnit {unit}"), format!("StopUnit {unit}")]);
}

#[tokio::test]
async fn slices_of_pods_are_listed_and_no_others() {
    let (systemd, mount) = (FakeSystemd::start(), tempfile::tempdir().unwrap());
    let manager = CgroupManager::new(Version::V2, Driver::Systemd, mount.path(), ROOT).unwrap();
    let guaranteed = "/kubepods.slice/kubepods-pod1.slice";
    for path in [POD, guaranteed, "/kubepods.slice/other.slice"] {
        fs::create_dir_all(mount.path().join(&path[1..])).unwrap();
    }
    let listed = [("0a-b", POD), ("1", guaranteed)];
    let listed = listed.map(|(uid, path)| PodCgroup { uid: uid.to_owned(), path: path.to_owned() });
    assert_eq!(manager.list_pods().unwrap(), listed);
    assert!(systemd.asked().is_empty());
}
