//! References to a pod's own fields and resources (the downward API). Rule: `validateObjectFieldSelector`,
//! `validateContainerResourceFieldSelector` in `core/validation`.

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, ObjectFieldSelector, ResourceFieldSelector};

use super::error::{Errors, FieldError};
use super::names;
use crate::manifest::path::FieldPath;
use crate::manifest::quantity::Quantity;

/// Where a reference stands, which decides what it may name.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// An environment variable of a container.
    Variable,
    /// A file of a volume.
    File,
}

const OF_VARIABLES: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const OF_FILES: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// Fields that the API knows in references, though not everywhere.
const ELSEWHERE: [&str; 3] = ["spec.restartPolicy", "spec.schedulerName", "status.phase"];

pub(super) fn field(reference: &ObjectFieldSelector, place: Place, path: &FieldPath, errors: &mut Errors) {
    let version = reference.api_version.as_deref().unwrap_or_default();
    if !errors.present(path.child("apiVersion"), version)
        || !errors.present(path.child("fieldPath"), &reference.field_path)
    {
        return;
    }
    let at = path.child("fieldPath");
    let written = reference.field_path.as_str();
    if version != "v1" {
        let detail = format!("error converting fieldPath: unsupported pod version: {version}");
        errors.invalid(at, written, detail);
        return;
    }
    if let Some((map, key)) = subscripted(written) {
        match map {
            "metadata.annotations" => errors.format(path, key, names::qualified_name(&key.to_lowercase())),
            "metadata.labels" => errors.format(path, key, names::qualified_name(key)),
            _ => {
                let detail =
                    format!("error converting fieldPath: field label does not support subscript: {written}");
                errors.invalid(at, written, detail);
            }
        }
        return;
    }
    let field = if written == "spec.host" { "spec.nodeName" } else { written };
    let allowed: &[&str] = if place == Place::Variable { &OF_VARIABLES } else { &OF_FILES };
    if allowed.contains(&field) {
        return;
    }
    let known = [&OF_VARIABLES[..], &OF_FILES, &ELSEWHERE].concat();
    if known.contains(&field) {
        errors.add(FieldError::not_supported(at, field, allowed));
    } else {
        let detail = format!("error converting fieldPath: field label not supported: {written}");
        errors.invalid(at, written, detail);
    }
}

/// `metadata.labels['key']` as its two parts.
fn subscripted(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    (!map.is_empty()).then_some((map, key))
}

pub(super) fn resource(
    reference: &ResourceFieldSelector,
    place: Place,
    path: &FieldPath,
    errors: &mut Errors,
) {
    if place == Place::File
        && !errors
            .present(path.child("containerName"), reference.container_name.as_deref().unwrap_or_default())
    {
        return;
    }
    let at = path.child("resource");
    if !errors.present(at.clone(), &reference.resource) {
        return;
    }
    let name = reference.resource.strip_prefix("limits.").or(reference.resource.strip_prefix("requests."));
    let Some(name) = name.filter(|name| is_exposed(name)) else {
        let supported = [
            "limits.cpu",
            "limits.ephemeral-storage",
            "limits.memory",
            "requests.cpu",
            "requests.ephemeral-storage",
            "requests.memory",
        ];
        errors.add(FieldError::not_supported(at, &reference.resource, &supported));
        return;
    };
    let divisor = reference.divisor.as_ref().map(Quantity::try_from);
    if let Some(Ok(divisor)) = divisor.filter(|divisor| divisor.is_ok_and(|divisor| !divisor.is_zero())) {
        check_divisor(name, divisor, path.child("divisor"), errors);
    }
}

fn is_exposed(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

fn check_divisor(resource: &str, divisor: Quantity, path: FieldPath, errors: &mut Errors) {
    let divisor = divisor.to_string();
    let fits = if resource == "cpu" {
        matches!(divisor.as_str(), "1m" | "1")
    } else {
        let units = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
        units.contains(&divisor.as_str())
    };
    if fits {
        return;
    }
    let detail = match resource {
        "cpu" => "only divisor's values 1m and 1 are supported with the cpu resource".to_owned(),
        other => {
            let called = match other {
                "memory" => "memory",
                "ephemeral-storage" => "local ephemeral storage",
                _ => "hugepages",
            };
            format!(
                "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the {called} resource"
            )
        }
    };
    errors.invalid(path, &divisor, detail);
}

/// The files of a downward API volume or projection; `path` is the volume's, which is all that the API server says of most faults.
pub(super) fn files(files: Option<&[DownwardAPIVolumeFile]>, path: &FieldPath, errors: &mut Errors) {
    for file in files.unwrap_or_default() {
        if errors.present(path.child("path"), &file.path) {
            errors.format(&path.child("path"), &file.path, names::volume_file(&file.path));
        }
        match (&file.field_ref, &file.resource_field_ref) {
            (Some(field_ref), None) => field(field_ref, Place::File, &path.child("fieldRef"), errors),
            (None, Some(reference)) => {
                resource(reference, Place::File, &path.child("resourceFieldRef"), errors);
            }
            (Some(_), Some(_)) => {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.invalid(path.clone(), "resource", detail);
            }
            (None, None) => errors.required(path.clone(), "one of fieldRef and resourceFieldRef is required"),
        }
        if let Some(mode) = file.mode {
            super::volumes::mode(mode, &path.child("mode"), errors);
        }
    }
}
