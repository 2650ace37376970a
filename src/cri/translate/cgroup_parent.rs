//! Where a pod's cgroup lies, as each cgroup driver names it.
//!
//! Rules: the kubelet's `pkg/kubelet/cm` (`CgroupName.ToCgroupfs`, `ToSystemd`, `GetPodContainerName`). The systemd form
//! is the whole path of slices, for containerd takes the last part as the slice and runc re-expands it.

use super::host::Cgroups;
use super::qos::QosClass;
use crate::cgroup::Driver;

/// A cgroup below the hierarchy's root, one name a level, as no driver writes it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupName(Vec<String>);

impl CgroupName {
    /// The cgroup of all pods.
    pub fn all_pods(cgroups: &Cgroups) -> Self {
        Self(cgroups.root.clone())
    }

    /// The cgroup of all pods of one quality of service; that of guaranteed ones is the cgroup of all pods.
    pub fn of_class(cgroups: &Cgroups, class: QosClass) -> Self {
        let mut name = Self::all_pods(cgroups);
        match class {
            QosClass::Guaranteed => {}
            QosClass::Burstable => name.0.push("burstable".to_owned()),
            QosClass::BestEffort => name.0.push("besteffort".to_owned()),
        }
        name
    }

    /// The cgroup of one pod.
    pub fn of_pod(cgroups: &Cgroups, class: QosClass, uid: &str) -> Self {
        let mut name = Self::of_class(cgroups, class);
        name.0.push(format!("pod{uid}"));
        name
    }

    /// The path below the hierarchy's root, with a leading `/`, as this driver names it.
    pub fn path(&self, driver: Driver) -> String {
        match driver {
            Driver::Cgroupfs => format!("/{}", self.0.join("/")),
            Driver::Systemd => self.slices(),
        }
    }

    // systemd reads a `-` in a slice's name as a step down, so a name's own dashes are written `_`.
    fn slices(&self) -> String {
        let mut path = String::new();
        let mut slice = String::new();
        for part in &self.0 {
            if !slice.is_empty() {
                slice.push('-');
            }
            slice.push_str(&part.replace('-', "_"));
            path.push('/');
            path.push_str(&slice);
            path.push_str(".slice");
        }
        path
    }
}

/// What `cgroup_parent` in a sandbox's request is; empty leaves the choice to the runtime.
pub(super) fn cgroup_parent(cgroups: &Cgroups, class: QosClass, uid: &str) -> String {
    if cgroups.per_qos { CgroupName::of_pod(cgroups, class, uid).path(cgroups.driver) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::super::host::Host;
    use super::*;
    use proptest::prelude::*;

    fn parent(driver: Driver, root: &[&str], class: QosClass) -> String {
        let root = root.iter().map(ToString::to_string).collect();
        cgroup_parent(&Cgroups { driver, root, ..Host::for_tests().cgroups }, class, "ab-cd")
    }

    #[test]
    fn each_class_and_driver_has_its_path() {
        use Driver::{Cgroupfs, Systemd};
        use QosClass::{BestEffort, Burstable, Guaranteed};
        let kubepods: &[&str] = &["kubepods"];
        for (driver, root, class, path) in [
            (Cgroupfs, kubepods, Guaranteed, "/kubepods/podab-cd"),
            (Cgroupfs, kubepods, Burstable, "/kubepods/burstable/podab-cd"),
            (Cgroupfs, kubepods, BestEffort, "/kubepods/besteffort/podab-cd"),
            (Cgroupfs, &["edge-a", "kubepods"], Guaranteed, "/edge-a/kubepods/podab-cd"),
            (Systemd, kubepods, Guaranteed, "/kubepods.slice/kubepods-podab_cd.slice"),
            (
                Systemd,
                kubepods,
                Burstable,
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podab_cd.slice",
            ),
            (
                Systemd,
                &["edge-a", "kubepods"],
                Guaranteed,
                "/edge_a.slice/edge_a-kubepods.slice/edge_a-kubepods-podab_cd.slice",
            ),
        ] {
            assert_eq!(parent(driver, root, class), path);
        }
    }

    #[test]
    fn without_cgroups_a_class_the_runtime_chooses() {
        let cgroups = Cgroups { per_qos: false, ..Host::for_tests().cgroups };
        assert_eq!(cgroup_parent(&cgroups, QosClass::Burstable, "u"), "");
    }

    proptest! {
        #[test]
        fn every_slice_lies_in_the_one_its_name_says(uid in "[0-9a-f]{4}(-[0-9a-f]{4}){0,3}") {
            let cgroups = Cgroups { driver: Driver::Systemd, ..Host::for_tests().cgroups };
            let path = CgroupName::of_pod(&cgroups, QosClass::BestEffort, &uid).path(Driver::Systemd);
            let slices: Vec<_> = path.split('/').skip(1).map(|s| s.strip_suffix(".slice").unwrap()).collect();
            for pair in slices.windows(2) {
                prop_assert_eq!(pair[1].rsplit_once('-').unwrap().0, pair[0]);
            }
        }
    }
}
