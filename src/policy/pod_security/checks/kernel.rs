//! What a pod sees of `/proc`, and which kernel parameters it sets.

use super::{Subject, Values, containers, quoted, violation};
use crate::policy::pod_security::Violation;

pub(super) fn proc_mount(subject: &Subject<'_>) -> Option<Violation> {
    let mut types = Values::new();
    let bad = subject.contexts_where(|context| {
        let other = context.proc_mount.as_deref().filter(|kind| *kind != "Default");
        other.map(|kind| types.insert(kind)).is_some()
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.procMount to {}", containers(&bad), quoted(&types));
    violation("procMount", detail)
}

pub(super) fn proc_mount_without_own_users(subject: &Subject<'_>) -> Option<Violation> {
    if subject.has_own_users() { None } else { proc_mount(subject) }
}

/// Sysctls that concern the pod alone, with the minor version since which they are counted so.
const SAFE_SYSCTLS: &[(u64, &str)] = &[
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
    (37, "net.ipv4.tcp_slow_start_after_idle"),
    (37, "net.ipv4.tcp_notsent_lowat"),
];

fn sysctls_at(subject: &Subject<'_>, minor: u64) -> Option<Violation> {
    let is_safe = |name: &str| SAFE_SYSCTLS.iter().any(|(since, safe)| *since <= minor && *safe == name);
    let set = subject.pod_context().into_iter().flat_map(|context| context.sysctls.iter().flatten());
    let bad: Vec<&str> = set.map(|sysctl| sysctl.name.as_str()).filter(|name| !is_safe(name)).collect();
    if bad.is_empty() {
        return None;
    }
    violation("forbidden sysctls", bad.join(", "))
}

pub(super) fn sysctls(subject: &Subject<'_>) -> Option<Violation> {
    sysctls_at(subject, 0)
}

pub(super) fn sysctls_since_27(subject: &Subject<'_>) -> Option<Violation> {
    sysctls_at(subject, 27)
}

pub(super) fn sysctls_since_29(subject: &Subject<'_>) -> Option<Violation> {
    sysctls_at(subject, 29)
}

pub(super) fn sysctls_since_32(subject: &Subject<'_>) -> Option<Violation> {
    sysctls_at(subject, 32)
}

pub(super) fn sysctls_since_37(subject: &Subject<'_>) -> Option<Violation> {
    sysctls_at(subject, 37)
}
