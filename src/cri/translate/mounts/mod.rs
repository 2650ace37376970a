//! A container's mounts: its volumes, the managed `/etc/hosts`, and the file for its last words.
//!
//! Rules: `makeMounts` in the kubelet's `pkg/kubelet/kubelet_pods.go` and in `pkg/kubelet/kuberuntime/kuberuntime_container.go`.
//! Nothing is looked up or made on disk here: volumes and sub-paths come prepared.

#[cfg(test)]
mod tests;

use std::path::Path;

use k8s_openapi::api::core::v1::{Container, PodSpec, VolumeMount};

use super::container::ContainerInputs;
use super::error::TranslateError;
use super::expansion::expand_strictly;
use super::host::Host;
use super::hosts_file::ETC_HOSTS;
use super::namespaces::{id_mappings, wants_own_users};
use super::view::PodView;
use crate::cri::proto::{IdMapping, ImageSpec, Mount, MountPropagation};

/// The path within its volume that a mount shows; `None` for the whole volume.
///
/// # Errors
/// A variable of `subPathExpr` has no value, or the path leads out of the volume.
pub fn sub_path(mount: &VolumeMount, env: &[(String, String)]) -> Result<Option<String>, TranslateError> {
    let expression = mount.sub_path_expr.as_deref().filter(|expression| !expression.is_empty());
    let path = match expression {
        Some(expression) => expand_strictly(expression, env).map_err(TranslateError::SubPathVariables)?,
        None => mount.sub_path.clone().unwrap_or_default(),
    };
    if path.starts_with('/') {
        return Err(TranslateError::SubPathAbsolute(path));
    }
    if path.split('/').any(|element| element == "..") {
        return Err(TranslateError::SubPathBacksteps(path));
    }
    Ok(Some(path).filter(|path| !path.is_empty()))
}

/// All mounts of the container, in the order the kubelet gives them.
pub(super) fn mounts(
    pod: &PodView<'_>,
    container: &Container,
    inputs: &ContainerInputs<'_>,
    host: &Host,
) -> Result<Vec<Mount>, TranslateError> {
    if let Some(device) = container.volume_devices.iter().flatten().next() {
        let volume = device.name.clone();
        return Err(TranslateError::DeviceMissing { volume, container: container.name.clone() });
    }
    let mappings = user_mappings(pod.spec, inputs);
    let mut mounts = Vec::new();
    let mut hosts_file = inputs.hosts_file.as_deref();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        if mount.mount_path == ETC_HOSTS {
            hosts_file = None;
        }
        mounts.push(of_volume(pod, container, index, mount, inputs, host)?);
    }
    if let Some(file) = hosts_file {
        mounts.push(of_file(ETC_HOSTS, file, host));
    }
    let message_path = container.termination_message_path.as_deref().filter(|path| !path.is_empty());
    if let (Some(path), Some(file)) = (message_path, inputs.termination_log.as_deref()) {
        mounts.push(of_file(path, file, host));
    }
    for mount in &mut mounts {
        mount.uid_mappings.clone_from(&mappings);
        mount.gid_mappings.clone_from(&mappings);
    }
    Ok(mounts)
}

fn of_volume(
    pod: &PodView<'_>,
    container: &Container,
    index: usize,
    mount: &VolumeMount,
    inputs: &ContainerInputs<'_>,
    host: &Host,
) -> Result<Mount, TranslateError> {
    let named = |volume: &str| (volume.to_owned(), container.name.clone());
    let Some(source) = inputs.volumes.get(&mount.name) else {
        let (volume, container) = named(&mount.name);
        return Err(TranslateError::VolumeMissing { volume, container });
    };
    let sub_path = sub_path(mount, inputs.env)?;
    let image = source.image.as_ref().map(|image| ImageSpec {
        image: image.reference.clone(),
        user_specified_image: image.user_specified.clone(),
        annotations: pod.annotations.cloned().unwrap_or_default(),
        ..ImageSpec::default()
    });
    let (host_path, image_sub_path) = match (sub_path, &image) {
        (path, Some(_)) => (String::new(), path.unwrap_or_default()),
        (None, None) => (text(&source.host_path), String::new()),
        (Some(_), None) => {
            let Some(prepared) = inputs.sub_paths.get(&index) else {
                let (volume, container) = named(&mount.name);
                return Err(TranslateError::SubPathUnprepared { volume, container });
            };
            (text(prepared), String::new())
        }
    };
    Ok(Mount {
        container_path: absolute(&mount.mount_path),
        host_path,
        readonly: mount.read_only.unwrap_or_default() || source.read_only,
        selinux_relabel: source.selinux_relabel && host.selinux,
        propagation: propagation(mount)?.into(),
        recursive_read_only: recursive_read_only(
            mount,
            host.mounts_recursively_read_only(inputs.runtime_handler),
        )?,
        image,
        image_sub_path,
        ..Mount::default()
    })
}

fn of_file(container_path: &str, file: &Path, host: &Host) -> Mount {
    Mount {
        container_path: absolute(container_path),
        host_path: text(file),
        selinux_relabel: host.selinux,
        ..Mount::default()
    }
}

fn propagation(mount: &VolumeMount) -> Result<MountPropagation, TranslateError> {
    match mount.mount_propagation.as_deref() {
        None | Some("None") => Ok(MountPropagation::PropagationPrivate),
        Some("HostToContainer") => Ok(MountPropagation::PropagationHostToContainer),
        Some("Bidirectional") => Ok(MountPropagation::PropagationBidirectional),
        Some(other) => Err(TranslateError::Propagation(other.to_owned())),
    }
}

/// Whether a mount is read-only all the way down, given whether the pod's runtime handler can do it.
///
/// # Errors
/// It asks for what contradicts it, or for what the runtime can't do.
pub fn recursive_read_only(mount: &VolumeMount, supported: bool) -> Result<bool, TranslateError> {
    let volume = || mount.name.clone();
    let mode = match mount.recursive_read_only.as_deref() {
        None | Some("Disabled") => return Ok(false),
        Some(mode) => mode,
    };
    if !mount.read_only.unwrap_or_default() {
        return Err(TranslateError::RecursiveNotReadOnly(volume()));
    }
    if let Some(propagation) = mount.mount_propagation.as_deref().filter(|mode| *mode != "None") {
        let propagation = propagation.to_owned();
        return Err(TranslateError::RecursivePropagation { volume: volume(), propagation });
    }
    match mode {
        "IfPossible" => Ok(supported),
        "Enabled" if supported => Ok(true),
        "Enabled" => Err(TranslateError::RecursiveUnsupported(volume())),
        other => Err(TranslateError::RecursiveMode(other.to_owned())),
    }
}

fn user_mappings(spec: &PodSpec, inputs: &ContainerInputs<'_>) -> Vec<IdMapping> {
    inputs.users.filter(|_| wants_own_users(spec)).map(id_mappings).unwrap_or_default()
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
