//! `AppArmor` profiles by annotation, the way before there were fields: one that is misspelt would leave a container unconfined.
//!
//! Rules: `ValidateAppArmorPodAnnotations` and `validateAppArmorAnnotationsAndFieldsMatchOnCreate` in `pkg/apis/core/validation/validation.go`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{AppArmorProfile, Container, PodSpec};

use super::error::Errors;
use crate::manifest::path::FieldPath;

const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
const LOCALHOST: &str = "localhost/";

type Annotations = BTreeMap<String, String>;

/// Whether each annotation names a container of the pod, and a profile.
pub(super) fn annotations(annotations: &Annotations, spec: &PodSpec, path: &FieldPath, errors: &mut Errors) {
    for (key, profile) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        let init = spec.init_containers.iter().flatten();
        if !init.chain(&spec.containers).any(|container| container.name == name) {
            errors.invalid(path.key(key), name, "container not found");
        }
        if !matches!(profile.as_str(), "" | "runtime/default" | "unconfined")
            && !profile.starts_with(LOCALHOST)
        {
            let detail = format!("invalid AppArmor profile name: {profile:?}");
            errors.invalid(path.key(key), profile, &detail);
        }
    }
}

/// Whether annotations and fields say the same. `path` is that of the spec.
pub(super) fn agree(annotations: &Annotations, spec: &PodSpec, path: &FieldPath, errors: &mut Errors) {
    let lists =
        [("initContainers", spec.init_containers.as_deref()), ("containers", Some(&spec.containers[..]))];
    for (list, containers) in lists {
        for (index, container) in containers.unwrap_or_default().iter().enumerate() {
            let Some(annotated) = annotations.get(&format!("{PREFIX}{}", container.name)) else { continue };
            let Some(profile) = field(spec, container) else { continue };
            let path = path.child(list).index(index).child("securityContext").child("appArmorProfile");
            compare(annotated, profile, &path, errors);
        }
    }
}

fn field<'a>(spec: &'a PodSpec, container: &'a Container) -> Option<&'a AppArmorProfile> {
    let own = container.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
    own.or_else(|| spec.security_context.as_ref()?.app_armor_profile.as_ref())
}

fn compare(annotated: &str, profile: &AppArmorProfile, path: &FieldPath, errors: &mut Errors) {
    let of_host = annotated.strip_prefix(LOCALHOST);
    let is_same_type = match profile.type_.as_str() {
        "Unconfined" => annotated == "unconfined",
        "RuntimeDefault" => annotated == "runtime/default",
        "Localhost" => of_host.is_some(),
        _ => true,
    };
    if !is_same_type {
        errors.forbidden(path.child("type"), "apparmor type in annotation and field must match");
    } else if profile.type_ == "Localhost" && of_host != profile.localhost_profile.as_deref() {
        errors
            .forbidden(path.child("localhostProfile"), "apparmor profile in annotation and field must match");
    }
}
