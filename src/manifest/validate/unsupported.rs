//! What Kubernetes allows and daemonlet can't provide: refused by name, with what to do instead.
//!
//! A node without an API server has no volume controllers, no CSI registration and no device claims. To run such a pod without
//! its volume would be to run something else than what was asked for.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::PodSpec;

use super::error::FieldError;
use super::volumes;
use crate::manifest::path::FieldPath;

/// Every field of a valid DaemonSet that daemonlet can't honour.
pub fn unsupported(daemon_set: &DaemonSet) -> Vec<FieldError> {
    let Some(spec) = daemon_set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()) else {
        return Vec::new();
    };
    let path = FieldPath::new("spec.template.spec");
    let mut refused = Vec::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        for source in volumes::sources(volume) {
            if let Some(detail) = remedy(source) {
                refused.push(FieldError::forbidden(path.child("volumes").index(index).child(source), detail));
            }
        }
    }
    refused.extend(devices(spec, &path));
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        let detail = "daemonlet runs on Linux: this pod can never run here";
        refused.push(FieldError::forbidden(path.child("os.name"), detail));
    }
    refused
}

fn devices(spec: &PodSpec, path: &FieldPath) -> Vec<FieldError> {
    let mut refused = Vec::new();
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        let detail =
            "device claims need an API server: give the container the device by hostPath and privileged";
        refused.push(FieldError::forbidden(path.child("resourceClaims"), detail));
    }
    let lists =
        [("initContainers", spec.init_containers.as_deref()), ("containers", Some(&spec.containers[..]))];
    for (field, containers) in lists {
        for (index, container) in containers.unwrap_or_default().iter().enumerate() {
            if container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
                let path = path.child(field).index(index).child("volumeDevices");
                let detail = "block devices come from persistent volumes, which need an API server: mount the device with hostPath type BlockDevice";
                refused.push(FieldError::forbidden(path, detail));
            }
        }
    }
    refused
}

/// Why a volume source can't be provided and what to use instead; `None` for those that can.
fn remedy(source: &str) -> Option<&'static str> {
    Some(match source {
        "emptyDir" | "hostPath" | "secret" | "configMap" | "downwardAPI" | "projected" | "image" => {
            return None;
        }
        "persistentVolumeClaim" | "ephemeral" => {
            "persistent volumes need an API server: use hostPath with type DirectoryOrCreate for data that stays, or emptyDir for data that may go with the pod"
        }
        "csi" => "CSI volumes need an API server: mount the storage on the host and use hostPath",
        "gitRepo" => "gitRepo is switched off in Kubernetes too: clone in an init container into an emptyDir",
        "nfs" | "cephfs" | "glusterfs" | "quobyte" | "azureFile" => {
            "daemonlet mounts no network file systems: mount it on the host (a systemd mount unit) and use hostPath"
        }
        _ => {
            "daemonlet attaches no network disks: attach and mount it on the host (a systemd mount unit) and use hostPath"
        }
    })
}
