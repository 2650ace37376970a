//! Which kinds of volume a pod may have.

use k8s_openapi::api::core::v1::Volume;

use super::{Subject, Values, plural, quoted, violation};
use crate::policy::pod_security::Violation;

fn volumes(names: &[&str]) -> String {
    format!("{} {}", plural("volume", "volumes", names.len()), quoted(names))
}

pub(super) fn host_path(subject: &Subject<'_>) -> Option<Violation> {
    let all = subject.spec.volumes.iter().flatten();
    let bad: Vec<&str> = all.filter(|it| it.host_path.is_some()).map(|it| it.name.as_str()).collect();
    if bad.is_empty() {
        return None;
    }
    violation("hostPath volumes", volumes(&bad))
}

pub(super) fn restricted(subject: &Subject<'_>) -> Option<Violation> {
    let bad: Vec<&Volume> = subject.spec.volumes.iter().flatten().filter(|it| !is_unrestricted(it)).collect();
    if bad.is_empty() {
        return None;
    }
    let kinds: Values<'_> = bad.iter().map(|volume| restricted_kind(volume)).collect();
    let names: Vec<&str> = bad.iter().map(|volume| volume.name.as_str()).collect();
    let uses = plural("uses", "use", names.len());
    let types = plural("restricted volume type", "restricted volume types", kinds.len());
    violation("restricted volume types", format!("{} {uses} {types} {}", volumes(&names), quoted(&kinds)))
}

fn is_unrestricted(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.csi.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.image.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some()
}

fn restricted_kind(volume: &Volume) -> &'static str {
    let kinds = [
        (volume.host_path.is_some(), "hostPath"),
        (volume.gce_persistent_disk.is_some(), "gcePersistentDisk"),
        (volume.aws_elastic_block_store.is_some(), "awsElasticBlockStore"),
        (volume.git_repo.is_some(), "gitRepo"),
        (volume.nfs.is_some(), "nfs"),
        (volume.iscsi.is_some(), "iscsi"),
        (volume.glusterfs.is_some(), "glusterfs"),
        (volume.rbd.is_some(), "rbd"),
        (volume.flex_volume.is_some(), "flexVolume"),
        (volume.cinder.is_some(), "cinder"),
        (volume.cephfs.is_some(), "cephfs"),
        (volume.flocker.is_some(), "flocker"),
        (volume.fc.is_some(), "fc"),
        (volume.azure_file.is_some(), "azureFile"),
        (volume.vsphere_volume.is_some(), "vsphereVolume"),
        (volume.quobyte.is_some(), "quobyte"),
        (volume.azure_disk.is_some(), "azureDisk"),
        (volume.photon_persistent_disk.is_some(), "photonPersistentDisk"),
        (volume.portworx_volume.is_some(), "portworxVolume"),
        (volume.scale_io.is_some(), "scaleIO"),
        (volume.storageos.is_some(), "storageos"),
    ];
    kinds.into_iter().find(|(is_it, _)| *is_it).map_or("unknown", |(_, kind)| kind)
}
