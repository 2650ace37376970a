//! What Kubernetes allows and daemonlet can't provide: refused by name, with what to do instead.
//!
//! A node without an API server has no volume controllers, no CSI registration, no device claims and no signers. To run such a pod
//! without its volume would be to run something else than what was asked for.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements, Volume};

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
        of_volume(volume, &path.child("volumes").index(index), &mut refused);
    }
    of_pod(spec, &path, &mut refused);
    let lists =
        [("initContainers", spec.init_containers.as_deref()), ("containers", Some(&spec.containers[..]))];
    for (field, containers) in lists {
        for (index, container) in containers.unwrap_or_default().iter().enumerate() {
            of_container(container, &path.child(field).index(index), &mut refused);
        }
    }
    refused
}

fn of_pod(spec: &PodSpec, path: &FieldPath, refused: &mut Vec<FieldError>) {
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        refused.push(FieldError::forbidden(path.child("resourceClaims"), NO_CLAIMS));
    }
    claims(spec.resources.as_ref(), path, refused);
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        let detail = "nothing on a node opens a scheduling gate: keep the manifest out of the store until the pod may run";
        refused.push(FieldError::forbidden(path.child("schedulingGates"), detail));
    }
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        let detail = "daemonlet runs on Linux: this pod can never run here";
        refused.push(FieldError::forbidden(path.child("os.name"), detail));
    }
}

fn of_container(container: &Container, path: &FieldPath, refused: &mut Vec<FieldError>) {
    claims(container.resources.as_ref(), path, refused);
    if container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        let detail = "block devices come from persistent volumes, which need an API server: mount the device with hostPath type BlockDevice";
        refused.push(FieldError::forbidden(path.child("volumeDevices"), detail));
    }
    if container.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty()) {
        let detail =
            "each container of a DaemonSet is restarted whenever it ends: no rule can choose otherwise";
        refused.push(FieldError::forbidden(path.child("restartPolicyRules"), detail));
    }
    for (index, variable) in container.env.iter().flatten().enumerate() {
        if variable.value_from.as_ref().is_some_and(|source| source.file_key_ref.is_some()) {
            let path = path.child("env").index(index).child("valueFrom.fileKeyRef");
            let detail = "daemonlet reads no variables from files in volumes: use a ConfigMap or a Secret, or let the container's command read the file";
            refused.push(FieldError::forbidden(path, detail));
        }
    }
}

const NO_CLAIMS: &str =
    "device claims need an API server: give the container the device by hostPath and privileged";

/// The claims of `resources`, a field of what `path` leads to.
fn claims(resources: Option<&ResourceRequirements>, path: &FieldPath, refused: &mut Vec<FieldError>) {
    let claims = resources.and_then(|resources| resources.claims.as_ref());
    if claims.is_some_and(|claims| !claims.is_empty()) {
        refused.push(FieldError::forbidden(path.child("resources.claims"), NO_CLAIMS));
    }
}

fn of_volume(volume: &Volume, path: &FieldPath, refused: &mut Vec<FieldError>) {
    for source in volumes::sources(volume) {
        if let Some(detail) = remedy(source) {
            refused.push(FieldError::forbidden(path.child(source), detail));
        }
    }
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    for (index, source) in sources.enumerate() {
        let path = path.child("projected.sources").index(index);
        let bundle = source.cluster_trust_bundle.as_ref();
        if bundle.is_some_and(|bundle| !bundle.optional.unwrap_or_default()) {
            let detail = "trust bundles come from an API server: use a configMap source with the certificates, or make this one optional";
            refused.push(FieldError::forbidden(path.child("clusterTrustBundle"), detail));
        }
        if source.pod_certificate.is_some() {
            let detail =
                "an API server signs pod certificates: use a secret source with a certificate and its key";
            refused.push(FieldError::forbidden(path.child("podCertificate"), detail));
        }
    }
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
