//! What all containers of a pod may do and share. Rule: `ValidatePodSecurityContext` in `core/validation`.

use k8s_openapi::api::core::v1::{PodSecurityContext, PodSpec};

use super::error::{Errors, FieldError};
use super::pod_spec::Seen;
use super::{names, security};
use crate::manifest::path::FieldPath;

pub(super) fn pod_security(spec: &PodSpec, path: &FieldPath, errors: &mut Errors) {
    // The host namespaces are part of the security context inside the API server, and reported there.
    let path = path.child("securityContext");
    let shared = spec.share_process_namespace.unwrap_or_default();
    if shared && spec.host_pid.unwrap_or_default() {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(path.child("shareProcessNamespace"), &true, detail);
    }
    if spec.host_users == Some(false) {
        for (field, on) in
            [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)]
        {
            if on.unwrap_or_default() {
                errors.forbidden(path.child(field), "when `pod.Spec.HostUsers` is false");
            }
        }
    }
    if let Some(context) = &spec.security_context {
        ids(context, &path, errors);
        profiles(context, &path, errors);
        sysctls(context, spec, &path.child("sysctls"), errors);
    }
}

fn ids(context: &PodSecurityContext, path: &FieldPath, errors: &mut Errors) {
    for (field, id) in [
        ("fsGroup", context.fs_group),
        ("runAsUser", context.run_as_user),
        ("runAsGroup", context.run_as_group),
    ] {
        if let Some(id) = id {
            errors.format(&path.child(field), &id, names::numeric_id(id));
        }
    }
    for (index, id) in context.supplemental_groups.iter().flatten().enumerate() {
        errors.format(&path.child("supplementalGroups").index(index), id, names::numeric_id(*id));
    }
}

fn profiles(context: &PodSecurityContext, path: &FieldPath, errors: &mut Errors) {
    if let Some(policy) = &context.fs_group_change_policy {
        errors.one_of(path.child("fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"]);
    }
    if let Some(policy) = &context.supplemental_groups_policy {
        errors.one_of(path.child("supplementalGroupsPolicy"), policy, &["Merge", "Strict"]);
    }
    if let Some(policy) = &context.se_linux_change_policy {
        errors.one_of(path.child("seLinuxChangePolicy"), policy, &["MountOption", "Recursive"]);
    }
    if let Some(profile) = &context.seccomp_profile {
        security::seccomp(profile, &path.child("seccompProfile"), errors);
    }
    if let Some(profile) = &context.app_armor_profile {
        security::app_armor(profile, &path.child("appArmorProfile"), errors);
    }
}

fn sysctls(context: &PodSecurityContext, spec: &PodSpec, path: &FieldPath, errors: &mut Errors) {
    let mut seen = Seen::default();
    for (index, sysctl) in context.sysctls.iter().flatten().enumerate() {
        let path = path.index(index).child("name");
        if !errors.present(path.clone(), &sysctl.name) {
            continue;
        }
        errors.format(&path, &sysctl.name, names::sysctl(&sysctl.name));
        if seen.before(&sysctl.name) {
            errors.add(FieldError::duplicate(path.clone(), &sysctl.name));
        }
        let dotted = sysctl.name.replace('/', ".");
        if spec.host_network.unwrap_or_default() && dotted.starts_with("net.") {
            let detail = "may not be specified when 'hostNetwork' is true";
            errors.invalid(path.clone(), &sysctl.name, detail);
        }
        if spec.host_ipc.unwrap_or_default() && is_of_ipc(&dotted) {
            errors.invalid(path, &sysctl.name, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn is_of_ipc(name: &str) -> bool {
    name == "kernel.sem"
        || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix))
}
