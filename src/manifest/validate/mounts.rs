//! Where a container sees its volumes. Rule: `ValidateVolumeMounts` in `core/validation`.

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use super::error::{Errors, FieldError};
use super::names;
use super::pod_spec::{Pod, Seen};
use crate::manifest::path::FieldPath;

pub(super) fn mounts(container: &Container, pod: &Pod<'_>, path: &FieldPath, errors: &mut Errors) {
    let list = path.child("volumeMounts");
    let privileged =
        container.security_context.as_ref().and_then(|context| context.privileged).unwrap_or_default();
    let mut seen = Seen::default();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = list.index(index);
        let volume = pod.volumes.iter().find(|(name, _)| *name == mount.name);
        if errors.present(path.child("name"), &mount.name) && volume.is_none() {
            errors.add(FieldError::not_found(path.child("name"), &mount.name));
        }
        errors.present(path.child("mountPath"), &mount.mount_path);
        if seen.before(&mount.mount_path) {
            errors.invalid(path.child("mountPath"), &mount.mount_path, "must be unique");
        }
        // The API server reports these four without the index.
        sub_path(mount, volume.is_some_and(|(_, is_image)| *is_image), &list, errors);
        propagation(mount, privileged, &list, errors);
        recursive_read_only(mount, &list, errors);
    }
}

fn sub_path(mount: &VolumeMount, of_image: bool, list: &FieldPath, errors: &mut Errors) {
    let path = mount.sub_path.as_deref().unwrap_or_default();
    let expression = mount.sub_path_expr.as_deref().unwrap_or_default();
    errors.format(&list.child("subPath"), path, names::descending_path(path));
    if !path.is_empty() && !expression.is_empty() {
        let detail = "subPathExpr and subPath are mutually exclusive";
        errors.invalid(list.child("subPathExpr"), expression, detail);
    } else {
        errors.format(&list.child("subPathExpr"), expression, names::descending_path(expression));
    }
    if of_image {
        for (field, value) in [("subPath", path), ("subPathExpr", expression)] {
            if !value.is_empty() {
                errors.invalid(list.child(field), value, "not allowed in image volume sources");
            }
        }
    }
}

fn propagation(mount: &VolumeMount, privileged: bool, list: &FieldPath, errors: &mut Errors) {
    let path = list.child("mountPropagation");
    match mount.mount_propagation.as_deref() {
        Some("Bidirectional") if !privileged => errors
            .forbidden(path, "Bidirectional mount propagation is available only to privileged containers"),
        Some(other) => errors.one_of(path, other, &["Bidirectional", "HostToContainer", "None"]),
        None => {}
    }
}

fn recursive_read_only(mount: &VolumeMount, list: &FieldPath, errors: &mut Errors) {
    let path = list.child("recursiveReadOnly");
    match mount.recursive_read_only.as_deref() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !mount.read_only.unwrap_or_default() {
                errors.forbidden(path.clone(), "may only be specified when readOnly is true");
            }
            if mount.mount_propagation.as_deref().is_some_and(|propagation| propagation != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.forbidden(path, detail);
            }
        }
        Some(other) => errors.one_of(path, other, &["Disabled", "IfPossible", "Enabled"]),
    }
}
