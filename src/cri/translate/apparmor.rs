//! The `AppArmor` profile of a container, from its fields or from the annotation that came before them.
//!
//! Rules: `GetProfile` in the kubelet's `pkg/security/apparmor/helpers.go`, `getAppArmorProfile` in
//! `pkg/kubelet/kuberuntime/helpers.go`.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod};

use super::error::TranslateError;
use super::host::Host;
use super::view::PodView;
use crate::cri::proto::SecurityProfile;
use crate::cri::proto::security_profile::ProfileType;

const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// A profile as a request holds it: in words for old runtimes, and as a message.
pub(super) struct Profile {
    pub(super) deprecated: String,
    pub(super) profile: SecurityProfile,
}

/// Refuses a pod that asks for confinement on a node that has no `AppArmor`.
///
/// # Errors
/// A container asks for a profile other than `Unconfined`.
pub fn admit(pod: &Pod, host: &Host) -> Result<(), TranslateError> {
    let pod = PodView::of(pod)?;
    let confined =
        |container| effective(&pod, container).is_some_and(|profile| profile.type_ != "Unconfined");
    if !host.apparmor && pod.containers().any(confined) {
        return Err(TranslateError::AppArmorOff);
    }
    Ok(())
}

/// The container's profile, if anything names one.
pub(super) fn of_container(
    pod: &PodView<'_>,
    container: &Container,
) -> Result<Option<Profile>, TranslateError> {
    let Some(profile) = effective(pod, container) else { return Ok(None) };
    let (profile_type, deprecated, localhost_ref) = match profile.type_.as_str() {
        "RuntimeDefault" => (ProfileType::RuntimeDefault, "runtime/default".to_owned(), String::new()),
        "Unconfined" => (ProfileType::Unconfined, "unconfined".to_owned(), String::new()),
        "Localhost" => {
            let name = profile.localhost_profile.clone().ok_or(TranslateError::AppArmorProfileMissing)?;
            (ProfileType::Localhost, format!("localhost/{name}"), name)
        }
        other => return Err(TranslateError::AppArmorProfileType(other.to_owned())),
    };
    let profile = SecurityProfile { profile_type: profile_type.into(), localhost_ref };
    Ok(Some(Profile { deprecated, profile }))
}

fn effective<'a>(pod: &PodView<'a>, container: &'a Container) -> Option<Cow<'a, AppArmorProfile>> {
    let own = container.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
    let pods = pod.spec.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
    own.map(Cow::Borrowed)
        .or_else(|| annotated(pod, container).map(Cow::Owned))
        .or_else(|| pods.map(Cow::Borrowed))
}

fn annotated(pod: &PodView<'_>, container: &Container) -> Option<AppArmorProfile> {
    let value = pod.annotation(&format!("{ANNOTATION}{}", container.name))?;
    let (kind, profile) = match value {
        "runtime/default" => ("RuntimeDefault", None),
        "unconfined" => ("Unconfined", None),
        _ => ("Localhost", Some(value.strip_prefix("localhost/")?.to_owned())),
    };
    Some(AppArmorProfile { type_: kind.to_owned(), localhost_profile: profile })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{container, pod, pod_spec};
    use super::*;

    fn pod_with(of_container: &str, annotation: Option<&str>, of_pod: &str) -> Pod {
        let mut c = container("c", "{}");
        c.security_context = serde_json::from_str(of_container).unwrap();
        let mut spec = pod_spec(vec![c]);
        spec.security_context = serde_json::from_str(of_pod).unwrap();
        let mut pod = pod(spec);
        pod.metadata.annotations =
            annotation.map(|value| [(format!("{ANNOTATION}c"), value.to_owned())].into());
        pod
    }

    fn words(pod: &Pod) -> Option<String> {
        let view = PodView::of(pod).unwrap();
        super::of_container(&view, &view.spec.containers[0]).unwrap().map(|profile| profile.deprecated)
    }

    #[test]
    fn field_then_annotation_then_pod() {
        let unconfined = r#"{"appArmorProfile":{"type":"Unconfined"}}"#;
        let local = r#"{"appArmorProfile":{"type":"Localhost","localhostProfile":"mine"}}"#;
        for (of_container, annotation, of_pod, expected) in [
            ("{}", None, "{}", None),
            ("{}", None, local, Some("localhost/mine")),
            ("{}", Some("runtime/default"), local, Some("runtime/default")),
            (unconfined, Some("runtime/default"), local, Some("unconfined")),
            ("{}", Some("localhost/theirs"), "{}", Some("localhost/theirs")),
            ("{}", Some("nonsense"), local, Some("localhost/mine")),
        ] {
            assert_eq!(words(&pod_with(of_container, annotation, of_pod)).as_deref(), expected);
        }
    }

    #[test]
    fn a_node_without_apparmor_takes_only_unconfined_pods() {
        let host = Host { apparmor: false, ..Host::for_tests() };
        assert_eq!(admit(&pod_with("{}", Some("unconfined"), "{}"), &host), Ok(()));
        let confined = pod_with("{}", Some("runtime/default"), "{}");
        assert_eq!(admit(&confined, &host), Err(TranslateError::AppArmorOff));
        assert_eq!(admit(&confined, &Host::for_tests()), Ok(()));
    }
}
