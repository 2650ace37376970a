//! Defaults of a volume.

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, EmptyDirVolumeSource, Volume, VolumeProjection};

use super::text;

/// 0644, the mode of files that come from the API.
const FILE_MODE: i32 = 0o644;
/// How long a service account token is good for, in seconds.
const TOKEN_SECONDS: i64 = 3600;

pub(super) fn volume(volume: &mut Volume) {
    if (Volume { name: volume.name.clone(), ..Volume::default() }) == *volume {
        volume.empty_dir = Some(EmptyDirVolumeSource::default());
    }
    if let Some(host_path) = volume.host_path.as_mut() {
        host_path.type_.get_or_insert_default();
    }
    if let Some(secret) = volume.secret.as_mut() {
        secret.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(config_map) = volume.config_map.as_mut() {
        config_map.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(downward) = volume.downward_api.as_mut() {
        downward.default_mode.get_or_insert(FILE_MODE);
        downward.items.iter_mut().flatten().for_each(field_reference);
    }
    if let Some(projected) = volume.projected.as_mut() {
        projected.default_mode.get_or_insert(FILE_MODE);
        projected.sources.iter_mut().flatten().for_each(projection);
    }
    if let Some(image) = volume.image.as_mut() {
        let reference = image.reference.as_deref().unwrap_or_default();
        let policy = if super::container::names_latest(reference) { "Always" } else { "IfNotPresent" };
        text(&mut image.pull_policy, policy);
    }
}

fn projection(source: &mut VolumeProjection) {
    if let Some(downward) = source.downward_api.as_mut() {
        downward.items.iter_mut().flatten().for_each(field_reference);
    }
    if let Some(token) = source.service_account_token.as_mut() {
        token.expiration_seconds.get_or_insert(TOKEN_SECONDS);
    }
}

fn field_reference(file: &mut DownwardAPIVolumeFile) {
    if let Some(field) = file.field_ref.as_mut() {
        text(&mut field.api_version, "v1");
    }
}
