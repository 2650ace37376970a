//! Who a container runs as and what it may do: pod and container settings merged.
//!
//! Rules: `determineEffectiveSecurityContext` and `verifyRunAsNonRoot` in the kubelet's
//! `pkg/kubelet/kuberuntime/security_context.go`, the path lists of `pkg/securitycontext/util.go`.

#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, PodSecurityContext, PodSpec, SELinuxOptions, SecurityContext,
};

use super::container::ImageUser;
use super::error::TranslateError;
use super::host::{Host, UserNamespaceRange};
use super::namespaces::namespace_options;
use super::view::PodView;
use super::{apparmor, seccomp};
use crate::cri::proto::{
    Capability, Int64Value, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, SeLinuxOption,
    SupplementalGroupsPolicy,
};

const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The sandbox's security settings: the pod's own, and whether any container is privileged.
pub(super) fn of_sandbox(
    pod: &PodView<'_>,
    users: Option<UserNamespaceRange>,
) -> Result<LinuxSandboxSecurityContext, TranslateError> {
    let mut made = LinuxSandboxSecurityContext {
        privileged: pod.containers().any(is_privileged),
        seccomp: Some(seccomp::runtime_default()),
        ..LinuxSandboxSecurityContext::default()
    };
    if let Some(context) = &pod.spec.security_context {
        made.namespace_options = Some(namespace_options(pod.spec, users));
        made.run_as_user = context.run_as_user.map(int64);
        made.run_as_group = context.run_as_group.map(int64);
        made.supplemental_groups = supplemental_groups(context);
        made.supplemental_groups_policy = supplemental_groups_policy(context)?.into();
        made.selinux_options = context.se_linux_options.as_ref().map(selinux_options);
    }
    Ok(made)
}

/// The container's security settings; refuses what `runAsNonRoot` forbids.
pub(super) fn of_container(
    pod: &PodView<'_>,
    container: &Container,
    image_user: &ImageUser,
    users: Option<UserNamespaceRange>,
    host: &Host,
) -> Result<LinuxContainerSecurityContext, TranslateError> {
    let no_pods = PodSecurityContext::default();
    let no_own = SecurityContext::default();
    let pods = pod.spec.security_context.as_ref();
    let own = container.security_context.as_ref().unwrap_or(&no_own);
    let effective = Effective::of(pods.unwrap_or(&no_pods), own);
    effective.verify_non_root(pod, container, image_user)?;
    let apparmor = apparmor::of_container(pod, container)?;
    let (apparmor_profile, apparmor) =
        apparmor.map(|made| (made.deprecated, Some(made.profile))).unwrap_or_default();
    let masks = own.proc_mount.as_deref() != Some("Unmasked");
    let by_image = effective.run_as_user.is_none();
    let mut made = LinuxContainerSecurityContext {
        capabilities: own.capabilities.as_ref().map(capabilities),
        privileged: is_privileged(container),
        selinux_options: effective.selinux.map(selinux_options),
        run_as_user: effective.run_as_user.or(image_user.uid).map(int64),
        run_as_username: if by_image { image_user.username.clone() } else { String::new() },
        run_as_group: effective.run_as_group.map(int64),
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or_default(),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: if masks { masked_paths(host) } else { Vec::new() },
        readonly_paths: if masks { READ_ONLY.map(str::to_owned).into() } else { Vec::new() },
        seccomp: Some(seccomp::of_container(pod.spec, container, host)?),
        apparmor,
        apparmor_profile,
        ..LinuxContainerSecurityContext::default()
    };
    if let Some(context) = pods {
        made.namespace_options = Some(namespace_options(pod.spec, users));
        made.supplemental_groups = supplemental_groups(context);
        made.supplemental_groups_policy = supplemental_groups_policy(context)?.into();
    }
    Ok(made)
}

/// What a container may set over its pod.
struct Effective<'a> {
    run_as_user: Option<i64>,
    run_as_group: Option<i64>,
    run_as_non_root: bool,
    selinux: Option<&'a SELinuxOptions>,
}

impl<'a> Effective<'a> {
    fn of(pods: &'a PodSecurityContext, own: &'a SecurityContext) -> Self {
        Self {
            run_as_user: own.run_as_user.or(pods.run_as_user),
            run_as_group: own.run_as_group.or(pods.run_as_group),
            run_as_non_root: own.run_as_non_root.or(pods.run_as_non_root).unwrap_or_default(),
            selinux: own.se_linux_options.as_ref().or(pods.se_linux_options.as_ref()),
        }
    }

    fn verify_non_root(
        &self,
        pod: &PodView<'_>,
        container: &Container,
        image: &ImageUser,
    ) -> Result<(), TranslateError> {
        if !self.run_as_non_root {
            return Ok(());
        }
        let pod = pod.id();
        let container = container.name.clone();
        match (self.run_as_user, image.uid) {
            (Some(0), _) => Err(TranslateError::RunsAsRoot { pod, container }),
            (None, Some(0)) => Err(TranslateError::ImageRunsAsRoot { pod, container }),
            (None, None) if !image.username.is_empty() => {
                Err(TranslateError::ImageUserUnknown { user: image.username.clone(), pod, container })
            }
            _ => Ok(()),
        }
    }
}

fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|context| context.privileged).unwrap_or_default()
}

fn supplemental_groups(context: &PodSecurityContext) -> Vec<i64> {
    context.fs_group.into_iter().chain(context.supplemental_groups.iter().flatten().copied()).collect()
}

fn supplemental_groups_policy(
    context: &PodSecurityContext,
) -> Result<SupplementalGroupsPolicy, TranslateError> {
    match context.supplemental_groups_policy.as_deref() {
        None | Some("" | "Merge") => Ok(SupplementalGroupsPolicy::Merge),
        Some("Strict") => Ok(SupplementalGroupsPolicy::Strict),
        Some(other) => Err(TranslateError::SupplementalGroupsPolicy(other.to_owned())),
    }
}

/// Checks that the runtime keeps the image's groups from a pod that is to have only those that it names. A kubelet admits no such pod
/// since 1.33.
pub(super) fn check_groups(spec: &PodSpec, host: &Host) -> Result<(), TranslateError> {
    let policy =
        spec.security_context.as_ref().and_then(|context| context.supplemental_groups_policy.as_deref());
    if policy == Some("Strict") && !host.strict_groups {
        return Err(TranslateError::StrictGroupsNotSupported);
    }
    Ok(())
}

fn selinux_options(options: &SELinuxOptions) -> SeLinuxOption {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    SeLinuxOption {
        user: text(&options.user),
        role: text(&options.role),
        r#type: text(&options.type_),
        level: text(&options.level),
    }
}

fn capabilities(capabilities: &Capabilities) -> Capability {
    Capability {
        add_capabilities: capabilities.add.clone().unwrap_or_default(),
        drop_capabilities: capabilities.drop.clone().unwrap_or_default(),
        add_ambient_capabilities: Vec::new(),
    }
}

fn masked_paths(host: &Host) -> Vec<String> {
    let throttles = host.thermal_throttle_cpus.iter();
    let throttles = throttles.map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
    MASKED.map(str::to_owned).into_iter().chain(throttles).collect()
}

const fn int64(value: i64) -> Int64Value {
    Int64Value { value }
}
