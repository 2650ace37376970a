//! What a container may do. Rule: `ValidateSecurityContext` in `core/validation`.

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSpec, SeccompProfile, SecurityContext};

use super::error::{Errors, FieldError};
use super::names;
use crate::manifest::path::FieldPath;

pub(super) fn security_context(
    context: &SecurityContext,
    pod: &PodSpec,
    path: &FieldPath,
    errors: &mut Errors,
) {
    for (field, id) in [("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group)] {
        if let Some(id) = id {
            errors.format(&path.child(field), &id, names::numeric_id(id));
        }
    }
    if let Some(mount) = context.proc_mount.as_deref() {
        let path = path.child("procMount");
        errors.one_of(path.clone(), mount, &["Default", "Unmasked"]);
        if mount == "Unmasked" && pod.host_users.unwrap_or(true) {
            errors.invalid(path, mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    if let Some(profile) = &context.seccomp_profile {
        seccomp(profile, &path.child("seccompProfile"), errors);
    }
    if let Some(profile) = &context.app_armor_profile {
        app_armor(profile, &path.child("appArmorProfile"), errors);
    }
    if context.allow_privilege_escalation == Some(false) {
        let mut conflict = |detail: &str| {
            errors.invalid(path.clone(), &serde_json::json!(context), detail);
        };
        if context.privileged.unwrap_or_default() {
            conflict("cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        let added = context.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
        for _ in added.filter(|capability| *capability == "CAP_SYS_ADMIN") {
            conflict("cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
        }
    }
}

pub(super) fn seccomp(profile: &SeccompProfile, path: &FieldPath, errors: &mut Errors) {
    let file = path.child("localhostProfile");
    match (profile.type_.as_str(), profile.localhost_profile.as_deref()) {
        ("", _) => errors.required(path.child("type"), "type is required when seccompProfile is set"),
        ("Localhost", None) => errors.required(file, "must be set when seccomp type is Localhost"),
        ("Localhost", Some(written)) => errors.format(&file, written, names::descending_path(written)),
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("RuntimeDefault" | "Unconfined", Some(written)) => {
            errors.invalid(file, written, "can only be set when seccomp type is Localhost");
        }
        (other, _) => {
            let supported = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.add(FieldError::not_supported(path.child("type"), other, &supported));
        }
    }
}

pub(super) fn app_armor(profile: &AppArmorProfile, path: &FieldPath, errors: &mut Errors) {
    const MAX_PROFILE: usize = 4095 - 16;
    let name = path.child("localhostProfile");
    match (profile.type_.as_str(), profile.localhost_profile.as_deref()) {
        ("", _) => errors.required(path.child("type"), "type is required when appArmorProfile is set"),
        ("Localhost", None) => errors.required(name, "must be set when AppArmor type is Localhost"),
        ("Localhost", Some(written)) => {
            if written.trim().is_empty() {
                errors.required(name, "must be set when AppArmor type is Localhost");
            } else if written.trim() != written {
                errors.invalid(name, written, "must not be padded with whitespace");
            } else if written.len() > MAX_PROFILE {
                errors.add(FieldError::too_long(name, MAX_PROFILE));
            }
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("RuntimeDefault" | "Unconfined", Some(written)) => {
            errors.invalid(name, written, "can only be set when AppArmor type is Localhost");
        }
        (other, _) => {
            let supported = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.add(FieldError::not_supported(path.child("type"), other, &supported));
        }
    }
}
