//! What a downwardAPI volume holds: facts about the pod, one file an item. Rule: `pkg/volume/downwardapi` (`CollectData`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::error::Reason;
use super::field_ref;
use super::payload::{File, Payload};

/// The files of a downwardAPI volume. Every item that can't be resolved is told.
pub(super) fn payload<'a>(
    items: &[DownwardAPIVolumeFile],
    pod: &Pod,
    allocatable: &BTreeMap<String, Quantity>,
    default_mode: i32,
) -> Result<Payload<'a>, Reason> {
    let mut payload = Payload::default();
    let mut reasons = Vec::new();
    for item in items {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => field_ref::field(pod, &field.field_path),
            (None, Some(resource)) => field_ref::resource(pod, resource, allocatable),
            (None, None) => Ok(String::new()),
        };
        let put = value.map_err(Reason::from).and_then(|value| {
            let file = File::new(value.into_bytes(), item.mode.unwrap_or(default_mode));
            payload.insert(&item.path, file).map_err(Reason::from)
        });
        reasons.extend(put.err());
    }
    Reason::of_several(reasons).map_or(Ok(payload), Err)
}
