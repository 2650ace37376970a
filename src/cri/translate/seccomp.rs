//! The seccomp profile of a container.
//!
//! Rule: `getSeccompProfile` in the kubelet's `pkg/kubelet/kuberuntime/helpers.go`. A sandbox always runs under the runtime's own.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, PodSpec, SeccompProfile};

use super::error::TranslateError;
use super::host::Host;
use crate::cri::proto::SecurityProfile;
use crate::cri::proto::security_profile::ProfileType;

/// The profile of the container, or else of its pod, or else what the node is set to.
pub(super) fn of_container(
    spec: &PodSpec,
    container: &Container,
    host: &Host,
) -> Result<SecurityProfile, TranslateError> {
    let own = container.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    let pods = spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    match own.or(pods) {
        Some(profile) => named(profile, host),
        None if host.seccomp_default => Ok(runtime_default()),
        None => Ok(unconfined()),
    }
}

/// The runtime's own profile.
pub(super) fn runtime_default() -> SecurityProfile {
    SecurityProfile { profile_type: ProfileType::RuntimeDefault.into(), localhost_ref: String::new() }
}

fn unconfined() -> SecurityProfile {
    SecurityProfile { profile_type: ProfileType::Unconfined.into(), localhost_ref: String::new() }
}

fn named(profile: &SeccompProfile, host: &Host) -> Result<SecurityProfile, TranslateError> {
    match profile.type_.as_str() {
        "RuntimeDefault" => Ok(runtime_default()),
        "Localhost" => {
            let file = profile.localhost_profile.as_deref().filter(|file| !file.is_empty());
            let file = file.ok_or(TranslateError::SeccompProfileMissing)?;
            Ok(SecurityProfile {
                profile_type: ProfileType::Localhost.into(),
                // Go's path.Join leaves neither `.` nor a second slash; validation has refused `..`.
                localhost_ref: host
                    .root_dir
                    .join("seccomp")
                    .join(file)
                    .components()
                    .collect::<PathBuf>()
                    .to_string_lossy()
                    .into_owned(),
            })
        }
        _ => Ok(unconfined()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{container, pod_spec};
    use super::*;

    fn profile(of_container: &str, of_pod: &str, default: bool) -> Result<(ProfileType, String), String> {
        let mut c = container("c", "{}");
        c.security_context = serde_json::from_str(of_container).unwrap();
        let mut spec = pod_spec(Vec::new());
        spec.security_context = serde_json::from_str(of_pod).unwrap();
        let host = Host { seccomp_default: default, ..Host::for_tests() };
        super::of_container(&spec, &c, &host)
            .map(|made| (made.profile_type(), made.localhost_ref))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_nearest_profile_wins() {
        use ProfileType::{Localhost, RuntimeDefault, Unconfined};
        let none = String::new;
        let runtime = r#"{"seccompProfile":{"type":"RuntimeDefault"}}"#;
        let unconfined = r#"{"seccompProfile":{"type":"Unconfined"}}"#;
        let file = r#"{"seccompProfile":{"type":"Localhost","localhostProfile":"a/b.json"}}"#;
        assert_eq!(profile("{}", "{}", false), Ok((Unconfined, none())));
        assert_eq!(profile("{}", "{}", true), Ok((RuntimeDefault, none())));
        assert_eq!(profile("{}", runtime, false), Ok((RuntimeDefault, none())));
        assert_eq!(profile(unconfined, runtime, true), Ok((Unconfined, none())));
        assert_eq!(profile(file, "{}", false), Ok((Localhost, "/var/lib/daemonlet/seccomp/a/b.json".into())));
        let untidy = file.replace("a/b.json", "./a//b.json");
        assert_eq!(profile(&untidy, "{}", false), profile(file, "{}", false));
        assert_eq!(
            profile(r#"{"seccompProfile":{"type":"Localhost"}}"#, "{}", false),
            Err("localhostProfile must be set if seccompProfile type is Localhost.".into())
        );
    }
}
