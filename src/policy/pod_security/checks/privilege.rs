//! What gives a process more power than its user has: privileged mode, capabilities, set-user-ID files, Windows' host processes.

use super::{Subject, Values, containers, quoted, setters, violation};
use crate::policy::pod_security::Violation;

const DEFAULT_CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

pub(super) fn privileged(subject: &Subject<'_>) -> Option<Violation> {
    let bad = subject.contexts_where(|context| context.privileged == Some(true));
    if bad.is_empty() {
        return None;
    }
    violation("privileged", format!("{} must not set securityContext.privileged=true", containers(&bad)))
}

pub(super) fn escalation(subject: &Subject<'_>) -> Option<Violation> {
    let bad = subject.containers_where(|container| {
        let context = container.security_context.as_ref();
        context.and_then(|context| context.allow_privilege_escalation) != Some(false)
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&bad));
    violation("allowPrivilegeEscalation != false", detail)
}

pub(super) fn escalation_unless_windows(subject: &Subject<'_>) -> Option<Violation> {
    if subject.is_windows() { None } else { escalation(subject) }
}

/// Who adds capabilities beyond these, and which.
fn adding_others<'a>(subject: &Subject<'a>, allowed: &[&str]) -> (Vec<&'a str>, Values<'a>) {
    let mut added = Values::new();
    let bad = subject.contexts_where(|context| {
        let capabilities = context.capabilities.iter().flat_map(|it| it.add.iter().flatten());
        let before = capabilities.map(String::as_str).filter(|name| !allowed.contains(name));
        before.map(|name| added.insert(name)).count() > 0
    });
    (bad, added)
}

pub(super) fn capabilities_baseline(subject: &Subject<'_>) -> Option<Violation> {
    let (bad, added) = adding_others(subject, DEFAULT_CAPABILITIES);
    if bad.is_empty() {
        return None;
    }
    violation("non-default capabilities", must_not_add(&bad, &added))
}

fn must_not_add(bad: &[&str], added: &Values<'_>) -> String {
    format!("{} must not include {} in securityContext.capabilities.add", containers(bad), quoted(added))
}

pub(super) fn capabilities_restricted(subject: &Subject<'_>) -> Option<Violation> {
    let keeping = subject.containers_where(|container| {
        let capabilities = container.security_context.as_ref().and_then(|it| it.capabilities.as_ref());
        let mut dropped = capabilities.iter().flat_map(|it| it.drop.iter().flatten());
        !dropped.any(|name| name == "ALL")
    });
    let (adding, added) = adding_others(subject, &["NET_BIND_SERVICE"]);
    let mut details = Vec::new();
    if !keeping.is_empty() {
        let detail = "must set securityContext.capabilities.drop=[\"ALL\"]";
        details.push(format!("{} {detail}", containers(&keeping)));
    }
    if !adding.is_empty() {
        details.push(must_not_add(&adding, &added));
    }
    if details.is_empty() {
        return None;
    }
    violation("unrestricted capabilities", details.join("; "))
}

pub(super) fn capabilities_restricted_unless_windows(subject: &Subject<'_>) -> Option<Violation> {
    if subject.is_windows() { None } else { capabilities_restricted(subject) }
}

pub(super) fn windows_host_process(subject: &Subject<'_>) -> Option<Violation> {
    let pod = subject.pod_context().and_then(|context| context.windows_options.as_ref());
    let bad = subject.contexts_where(|context| {
        context.windows_options.as_ref().and_then(|options| options.host_process) == Some(true)
    });
    let who = setters(pod.and_then(|options| options.host_process) == Some(true), &bad)?;
    violation("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
