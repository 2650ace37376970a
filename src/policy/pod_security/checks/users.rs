//! Whom a pod's processes may run as. Since 1.35 a pod with user IDs of its own may have its root.

use super::{Subject, containers, setters, violation};
use crate::policy::pod_security::Violation;

pub(super) fn non_root(subject: &Subject<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let pod = subject.pod_context().and_then(|context| context.run_as_non_root);
    let explicit = subject.contexts_where(|context| context.run_as_non_root == Some(false));
    if let Some(who) = setters(pod == Some(false), &explicit) {
        return violation(REASON, format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    let silent = subject.containers_where(|container| {
        pod.is_none() && container.security_context.as_ref().and_then(|it| it.run_as_non_root).is_none()
    });
    if silent.is_empty() {
        return None;
    }
    violation(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent)))
}

pub(super) fn non_root_without_own_users(subject: &Subject<'_>) -> Option<Violation> {
    if subject.has_own_users() { None } else { non_root(subject) }
}

pub(super) fn user(subject: &Subject<'_>) -> Option<Violation> {
    let pod = subject.pod_context().and_then(|context| context.run_as_user);
    let bad = subject.contexts_where(|context| context.run_as_user == Some(0));
    let who = setters(pod == Some(0), &bad)?;
    violation("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

pub(super) fn user_without_own_users(subject: &Subject<'_>) -> Option<Violation> {
    if subject.has_own_users() { None } else { user(subject) }
}
