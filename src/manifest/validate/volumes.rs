//! Volumes: their names, exactly one source each, and the sources that daemonlet provides. Rule: `ValidateVolumes`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{KeyToPath, ProjectedVolumeSource, Volume, VolumeProjection};

use super::error::{Errors, FieldError};
use super::pod_spec::Seen;
use super::{downward, names};
use crate::manifest::path::FieldPath;
use crate::manifest::quantity::Quantity;

/// The sources of a volume that are written, in the order in which the API server looks for them.
pub(super) fn sources(volume: &Volume) -> Vec<&'static str> {
    [
        ("emptyDir", volume.empty_dir.is_some()),
        ("hostPath", volume.host_path.is_some()),
        ("gitRepo", volume.git_repo.is_some()),
        ("gcePersistentDisk", volume.gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", volume.aws_elastic_block_store.is_some()),
        ("secret", volume.secret.is_some()),
        ("nfs", volume.nfs.is_some()),
        ("iscsi", volume.iscsi.is_some()),
        ("glusterfs", volume.glusterfs.is_some()),
        ("flocker", volume.flocker.is_some()),
        ("persistentVolumeClaim", volume.persistent_volume_claim.is_some()),
        ("rbd", volume.rbd.is_some()),
        ("cinder", volume.cinder.is_some()),
        ("cephfs", volume.cephfs.is_some()),
        ("flexVolume", volume.flex_volume.is_some()),
        ("downwardAPI", volume.downward_api.is_some()),
        ("fc", volume.fc.is_some()),
        ("configMap", volume.config_map.is_some()),
        ("azureFile", volume.azure_file.is_some()),
        ("vsphereVolume", volume.vsphere_volume.is_some()),
        ("quobyte", volume.quobyte.is_some()),
        ("azureDisk", volume.azure_disk.is_some()),
        ("storageos", volume.storageos.is_some()),
        ("photonPersistentDisk", volume.photon_persistent_disk.is_some()),
        ("portworxVolume", volume.portworx_volume.is_some()),
        ("scaleIO", volume.scale_io.is_some()),
        ("projected", volume.projected.is_some()),
        ("csi", volume.csi.is_some()),
        ("ephemeral", volume.ephemeral.is_some()),
        ("image", volume.image.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, present)| present.then_some(name))
    .collect()
}

/// Checks the volumes; answers with the names that may be mounted, and whether each is an image.
pub(super) fn volumes<'a>(
    volumes: &'a [Volume],
    path: &FieldPath,
    errors: &mut Errors,
) -> Vec<(&'a str, bool)> {
    let mut seen = Seen::default();
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        match sources(volume).split_first() {
            None => errors.required(path.clone(), "must specify a volume type"),
            Some((_, others)) => {
                for other in others {
                    errors.forbidden(path.child(other), "may not specify more than 1 volume type");
                }
            }
        }
        source(volume, &path, errors);
        if errors.present(path.child("name"), &volume.name) {
            errors.format(&path.child("name"), &volume.name, names::dns_label(&volume.name));
        }
        if seen.before(&volume.name) {
            errors.add(FieldError::duplicate(path.child("name"), &volume.name));
        }
    }
    volumes.iter().map(|volume| (volume.name.as_str(), volume.image.is_some())).collect()
}

fn source(volume: &Volume, path: &FieldPath, errors: &mut Errors) {
    if let Some(empty_dir) = &volume.empty_dir
        && let Some(Ok(limit)) = empty_dir.size_limit.as_ref().map(Quantity::try_from)
        && limit.is_negative()
    {
        let path = path.child("emptyDir.sizeLimit");
        errors.forbidden(path, "SizeLimit field must be a valid resource quantity");
    }
    if let Some(host_path) = &volume.host_path {
        let path = path.child("hostPath");
        if errors.present(path.child("path"), &host_path.path) {
            errors.format(&path.child("path"), &host_path.path, names::no_backsteps(&host_path.path));
        }
        let kind = host_path.type_.as_deref().unwrap_or_default();
        errors.one_of(path.child("type"), kind, &HOST_PATH_TYPES);
    }
    if let Some(secret) = &volume.secret {
        let path = path.child("secret");
        errors.present(path.child("secretName"), secret.secret_name.as_deref().unwrap_or_default());
        default_mode(secret.default_mode, &path, errors);
        items(secret.items.as_deref(), &path, errors);
    }
    if let Some(config_map) = &volume.config_map {
        let path = path.child("configMap");
        errors.present(path.child("name"), &config_map.name);
        default_mode(config_map.default_mode, &path, errors);
        items(config_map.items.as_deref(), &path, errors);
    }
    if let Some(downward) = &volume.downward_api {
        let path = path.child("downwardAPI");
        default_mode(downward.default_mode, &path, errors);
        downward::files(downward.items.as_deref(), &path, errors);
    }
    if let Some(projected) = &volume.projected {
        projections(projected, &path.child("projected"), errors);
    }
    if let Some(image) = &volume.image {
        let policy = image.pull_policy.as_deref().unwrap_or_default();
        errors.one_of(path.child("image.pullPolicy"), policy, &["Always", "IfNotPresent", "Never"]);
    }
}

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

fn default_mode(given: Option<i32>, path: &FieldPath, errors: &mut Errors) {
    if let Some(given) = given {
        mode(given, &path.child("defaultMode"), errors);
    }
}

pub(super) fn mode(mode: i32, path: &FieldPath, errors: &mut Errors) {
    if !(0..=0o777).contains(&mode) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.invalid(path.clone(), &mode, detail);
    }
}

fn items(items: Option<&[KeyToPath]>, path: &FieldPath, errors: &mut Errors) {
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = path.child("items").index(index);
        errors.present(path.child("key"), &item.key);
        if errors.present(path.child("path"), &item.path) {
            errors.format(&path.child("path"), &item.path, names::volume_file(&item.path));
        }
        if let Some(given) = item.mode {
            mode(given, &path.child("mode"), errors);
        }
    }
}

fn projections(volume: &ProjectedVolumeSource, path: &FieldPath, errors: &mut Errors) {
    default_mode(volume.default_mode, path, errors);
    let mut written = BTreeSet::new();
    for (index, source) in volume.sources.iter().flatten().enumerate() {
        let path = path.child("sources").index(index);
        projection(source, &path, errors);
        for (field, file) in files_of(source) {
            if !file.is_empty() && !written.insert(file) {
                let detail = "conflicting duplicate paths";
                errors.invalid(path.child(field), file, detail);
            }
        }
    }
}

fn projection(source: &VolumeProjection, path: &FieldPath, errors: &mut Errors) {
    let kinds = [
        ("secret", source.secret.is_some()),
        ("configMap", source.config_map.is_some()),
        ("downwardAPI", source.downward_api.is_some()),
        ("serviceAccountToken", source.service_account_token.is_some()),
        ("clusterTrustBundle", source.cluster_trust_bundle.is_some()),
        ("podCertificate", source.pod_certificate.is_some()),
    ];
    let present: Vec<_> = kinds.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect();
    for other in present.iter().skip(1) {
        errors.forbidden(path.child(other), "may not specify more than 1 volume type per source");
    }
    if let Some(secret) = &source.secret {
        let path = path.child("secret");
        errors.present(path.child("name"), &secret.name);
        items(secret.items.as_deref(), &path, errors);
    }
    if let Some(config_map) = &source.config_map {
        let path = path.child("configMap");
        errors.present(path.child("name"), &config_map.name);
        items(config_map.items.as_deref(), &path, errors);
    }
    if let Some(downward) = &source.downward_api {
        downward::files(downward.items.as_deref(), &path.child("downwardAPI"), errors);
    }
    if let Some(token) = &source.service_account_token {
        let path = path.child("serviceAccountToken");
        let seconds = token.expiration_seconds.unwrap_or(3600);
        if seconds < 600 {
            let detail = "may not specify a duration less than 10 minutes";
            errors.invalid(path.child("expirationSeconds"), &seconds, detail);
        }
        if errors.present(path.child("path"), &token.path) {
            errors.format(&path.child("path"), &token.path, names::volume_file(&token.path));
        }
    }
}

/// The files that a projection names itself.
fn files_of(source: &VolumeProjection) -> Vec<(&'static str, &str)> {
    let mut files = Vec::new();
    if let Some(secret) = &source.secret {
        files.extend(secret.items.iter().flatten().map(|item| ("secret", item.path.as_str())));
    }
    if let Some(config_map) = &source.config_map {
        files.extend(config_map.items.iter().flatten().map(|item| ("configMap", item.path.as_str())));
    }
    if let Some(downward) = &source.downward_api {
        files.extend(downward.items.iter().flatten().map(|item| ("downwardAPI", item.path.as_str())));
    }
    if let Some(token) = &source.service_account_token {
        files.push(("serviceAccountToken", token.path.as_str()));
    }
    files
}
