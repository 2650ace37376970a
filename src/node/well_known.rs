//! The labels that every node has, and the taint of a cordoned one.
//!
//! Sources: `k8s.io/api/core/v1/well_known_labels.go`, the kubelet's `initialNode`; the taint is the node lifecycle controller's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;

use super::NodeName;

/// The node's name as a label.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The operating system, always `linux`.
pub const OS: &str = "kubernetes.io/os";
/// The processor architecture in Go's spelling.
pub const ARCH: &str = "kubernetes.io/arch";
/// The taint key of a cordoned node.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// The annotation of a cordoned node that runs no pods at all, not even those of DaemonSets.
pub const DRAINED: &str = "daemonlet.dev/drained";

const BETA_OS: &str = "beta.kubernetes.io/os";
const BETA_ARCH: &str = "beta.kubernetes.io/arch";

/// The labels of a node on which nobody has written any.
pub(super) fn labels(name: &NodeName, arch: &str) -> BTreeMap<String, String> {
    [(HOSTNAME, name.as_str()), (OS, "linux"), (ARCH, arch), (BETA_OS, "linux"), (BETA_ARCH, arch)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The taint that comes with `spec.unschedulable`.
pub(super) fn unschedulable_taint() -> Taint {
    Taint { key: UNSCHEDULABLE.to_owned(), effect: "NoSchedule".to_owned(), value: None, time_added: None }
}
