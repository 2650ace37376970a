//! Every check of the Pod Security Standards, in the order in which they are told.
//!
//! Rules: `policy/check_*.go` of `k8s.io/pod-security-admission`. A check that has changed has one function for each minor version from
//! which it counts. Ephemeral containers are not looked at: a pod template has none.

mod host;
mod kernel;
mod privilege;
mod profiles;
#[cfg(test)]
mod tests;
mod users;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, PodSecurityContext, PodSpec, SecurityContext};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Level, Violation};

type Judge = fn(&Subject<'_>) -> Option<Violation>;

/// One check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check {
    /// Its name upstream.
    pub(super) id: &'static str,
    /// The lowest level that makes it.
    pub(super) level: Level,
    /// The check of a lower level that need not be made where this one is.
    pub(super) overrides: Option<&'static str>,
    /// From which minor version on, in rising order, it is made how.
    versions: &'static [(u64, Judge)],
}

impl Check {
    /// How the check is made by the policies of a minor version; none where it is not.
    pub(super) fn at(&self, minor: u64) -> Option<Judge> {
        self.versions.iter().rev().find(|(since, _)| *since <= minor).map(|(_, judge)| *judge)
    }
}

const fn baseline(id: &'static str, versions: &'static [(u64, Judge)]) -> Check {
    Check { id, level: Level::Baseline, overrides: None, versions }
}

const fn restricted(
    id: &'static str,
    overrides: Option<&'static str>,
    versions: &'static [(u64, Judge)],
) -> Check {
    Check { id, level: Level::Restricted, overrides, versions }
}

/// The checks: those of the baseline first, each level's by name.
pub(super) const CHECKS: &[Check] = &[
    baseline("appArmorProfile", &[(0, profiles::app_armor)]),
    baseline("capabilities_baseline", &[(0, privilege::capabilities_baseline)]),
    baseline("hostNamespaces", &[(0, host::namespaces)]),
    baseline("hostPathVolumes", &[(0, volumes::host_path)]),
    baseline("hostPorts", &[(0, host::ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, host::probes_and_hooks)]),
    baseline("privileged", &[(0, privilege::privileged)]),
    baseline("procMount", &[(0, kernel::proc_mount), (35, kernel::proc_mount_without_own_users)]),
    baseline("seLinuxOptions", &[(0, profiles::selinux), (31, profiles::selinux_since_31)]),
    baseline(
        "seccompProfile_baseline",
        &[(0, profiles::seccomp_annotations), (19, profiles::seccomp_baseline)],
    ),
    baseline(
        "sysctls",
        &[
            (0, kernel::sysctls),
            (27, kernel::sysctls_since_27),
            (29, kernel::sysctls_since_29),
            (32, kernel::sysctls_since_32),
            (37, kernel::sysctls_since_37),
        ],
    ),
    baseline("windowsHostProcess", &[(0, privilege::windows_host_process)]),
    restricted(
        "allowPrivilegeEscalation",
        None,
        &[(8, privilege::escalation), (25, privilege::escalation_unless_windows)],
    ),
    restricted(
        "capabilities_restricted",
        Some("capabilities_baseline"),
        &[(22, privilege::capabilities_restricted), (25, privilege::capabilities_restricted_unless_windows)],
    ),
    restricted("procMount_restricted", Some("procMount"), &[(35, kernel::proc_mount)]),
    restricted("restrictedVolumes", Some("hostPathVolumes"), &[(0, volumes::restricted)]),
    restricted("runAsNonRoot", None, &[(0, users::non_root), (35, users::non_root_without_own_users)]),
    restricted("runAsUser", None, &[(23, users::user), (35, users::user_without_own_users)]),
    restricted(
        "seccompProfile_restricted",
        Some("seccompProfile_baseline"),
        &[(19, profiles::seccomp_restricted), (25, profiles::seccomp_restricted_unless_windows)],
    ),
];

/// The pod that is checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    annotations: Option<&'a BTreeMap<String, String>>,
    spec: &'a PodSpec,
}

impl<'a> Subject<'a> {
    pub(super) fn new(metadata: &'a ObjectMeta, spec: &'a PodSpec) -> Self {
        Self { annotations: metadata.annotations.as_ref(), spec }
    }

    /// Init containers first.
    fn containers(self) -> impl Iterator<Item = &'a Container> {
        self.spec.init_containers.iter().flatten().chain(&self.spec.containers)
    }

    /// The names of the containers that are bad.
    fn containers_where(self, mut is_bad: impl FnMut(&'a Container) -> bool) -> Vec<&'a str> {
        self.containers().filter(|it| is_bad(it)).map(|it| it.name.as_str()).collect()
    }

    /// As [`Subject::containers_where`], for what a security context says.
    fn contexts_where(self, mut is_bad: impl FnMut(&'a SecurityContext) -> bool) -> Vec<&'a str> {
        self.containers_where(|it| it.security_context.as_ref().is_some_and(&mut is_bad))
    }

    fn pod_context(self) -> Option<&'a PodSecurityContext> {
        self.spec.security_context.as_ref()
    }

    fn is_windows(self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }

    /// Whether root in the pod is nobody on the node.
    fn has_own_users(self) -> bool {
        self.spec.host_users == Some(false)
    }
}

fn violation(reason: &'static str, detail: String) -> Option<Violation> {
    Some(Violation { reason, detail })
}

fn plural<'a>(one: &'a str, several: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { several }
}

/// `"a", "b"`
fn quoted<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect();
    items.join(", ")
}

/// `containers "a", "b"`
fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// Who sets something bad, `pod and container "a"`; none if nobody does.
fn setters(pod: bool, names: &[&str]) -> Option<String> {
    match (pod, names) {
        (false, []) => None,
        (true, []) => Some("pod".to_owned()),
        (false, names) => Some(containers(names)),
        (true, names) => Some(format!("pod and {}", containers(names))),
    }
}

type Values<'a> = BTreeSet<&'a str>;
