//! Which profiles confine a pod's processes: AppArmor, seccomp, SELinux.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::SELinuxOptions;

use super::{Subject, Values, containers, plural, quoted, setters, violation};
use crate::policy::pod_security::Violation;

const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Both for AppArmor and for seccomp.
fn is_confining(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

pub(super) fn app_armor(subject: &Subject<'_>) -> Option<Violation> {
    let mut values = Values::new();
    let pod = subject.pod_context().and_then(|context| context.app_armor_profile.as_ref());
    let pod = pod.map(|profile| profile.type_.as_str()).filter(|kind| !is_confining(kind));
    values.extend(pod);
    let bad = subject.contexts_where(|context| {
        let kind = context.app_armor_profile.as_ref().map(|profile| profile.type_.as_str());
        kind.filter(|kind| !is_confining(kind)).map(|kind| values.insert(kind)).is_some()
    });
    let is_allowed =
        |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let annotations: Vec<String> = (subject.annotations.iter().flat_map(|all| all.iter()))
        .filter(|(key, value)| key.starts_with(APP_ARMOR_ANNOTATION) && !is_allowed(value))
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    let annotated =
        (!annotations.is_empty()).then(|| plural("annotation", "annotations", annotations.len()).to_owned());
    let who: Vec<String> = setters(pod.is_some(), &bad).into_iter().chain(annotated).collect();
    if who.is_empty() {
        return None;
    }
    let values: Vec<&str> = values.into_iter().chain(annotations.iter().map(String::as_str)).collect();
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    let detail = format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(values));
    violation(reason, detail)
}

const SELINUX_TYPES: [&str; 4] = ["", "container_t", "container_init_t", "container_kvm_t"];
const SELINUX_TYPES_SINCE_31: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

pub(super) fn selinux(subject: &Subject<'_>) -> Option<Violation> {
    selinux_types(subject, &SELINUX_TYPES)
}

pub(super) fn selinux_since_31(subject: &Subject<'_>) -> Option<Violation> {
    selinux_types(subject, &SELINUX_TYPES_SINCE_31)
}

fn selinux_types(subject: &Subject<'_>, allowed: &[&str]) -> Option<Violation> {
    let (mut types, mut fields) = (BTreeSet::new(), BTreeSet::new());
    let mut is_bad = |options: &SELinuxOptions| {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let kind = text(&options.type_);
        let has_bad_type = !allowed.contains(&kind.as_str());
        if has_bad_type {
            types.insert(kind);
        }
        // In the order in which they are told.
        let set = [(0, "user", text(&options.user)), (1, "role", text(&options.role))];
        let set = set.into_iter().filter(|(_, _, value)| !value.is_empty());
        let is_set = set.map(|(order, name, _)| fields.insert((order, name))).count() > 0;
        has_bad_type || is_set
    };
    let pod = subject.pod_context().and_then(|context| context.se_linux_options.as_ref());
    let pod = pod.is_some_and(&mut is_bad);
    let bad = subject.contexts_where(|context| context.se_linux_options.as_ref().is_some_and(&mut is_bad));
    let who = setters(pod, &bad)?;
    let types =
        (!types.is_empty()).then(|| format!("{} {}", plural("type", "types", types.len()), quoted(&types)));
    let fields = fields.into_iter().map(|(_, name)| format!("{name} may not be set"));
    let what: Vec<String> = types.into_iter().chain(fields).collect();
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; "));
    violation("seLinuxOptions", detail)
}

const SECCOMP: &str = "seccompProfile";

/// Before 1.19 there were annotations instead of fields.
pub(super) fn seccomp_annotations(subject: &Subject<'_>) -> Option<Violation> {
    let is_allowed = |value: &str| {
        matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/")
    };
    let of_containers = subject.containers().map(|it| format!("{SECCOMP_CONTAINER_ANNOTATION}{}", it.name));
    let bad: BTreeSet<String> = std::iter::once(SECCOMP_POD_ANNOTATION.to_owned())
        .chain(of_containers)
        .filter_map(|key| {
            let value = subject.annotations?.get(&key)?;
            (!is_allowed(value)).then(|| format!("{key}={value:?}"))
        })
        .collect();
    if bad.is_empty() {
        return None;
    }
    let shown: Vec<&str> = bad.iter().map(String::as_str).collect();
    let annotations = plural("annotation", "annotations", bad.len());
    violation(SECCOMP, format!("forbidden {annotations} {}", shown.join(", ")))
}

pub(super) fn seccomp_baseline(subject: &Subject<'_>) -> Option<Violation> {
    let mut values = Values::new();
    let pod = pod_seccomp(subject).filter(|kind| !is_confining(kind));
    values.extend(pod);
    let bad = subject.contexts_where(|context| {
        let kind = context.seccomp_profile.as_ref().map(|profile| profile.type_.as_str());
        kind.filter(|kind| !is_confining(kind)).map(|kind| values.insert(kind)).is_some()
    });
    let who = setters(pod.is_some(), &bad)?;
    violation(
        SECCOMP,
        format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(&values)),
    )
}

fn pod_seccomp<'a>(subject: &Subject<'a>) -> Option<&'a str> {
    Some(subject.pod_context()?.seccomp_profile.as_ref()?.type_.as_str())
}

pub(super) fn seccomp_restricted(subject: &Subject<'_>) -> Option<Violation> {
    if let Some(explicit) = seccomp_baseline(subject) {
        return Some(explicit);
    }
    let of_pod = pod_seccomp(subject);
    let silent = subject.containers_where(|container| {
        of_pod.is_none()
            && container.security_context.as_ref().and_then(|it| it.seccomp_profile.as_ref()).is_none()
    });
    if silent.is_empty() {
        return None;
    }
    let must = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    violation(SECCOMP, format!("pod or {} {must}", containers(&silent)))
}

pub(super) fn seccomp_restricted_unless_windows(subject: &Subject<'_>) -> Option<Violation> {
    if subject.is_windows() { None } else { seccomp_restricted(subject) }
}
