//! What a configMap volume holds: the object's `data` and `binaryData`. Rule: `pkg/volume/configmap` (`MakePayload`).

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath};

use super::error::Reason;
use super::payload::{Payload, from_keys};

/// The files of a ConfigMap; `None` is an object that isn't in the store.
pub(super) fn payload<'a>(
    object: Option<&'a ConfigMap>,
    name: &str,
    items: Option<&[KeyToPath]>,
    default_mode: i32,
    optional: bool,
) -> Result<Payload<'a>, Reason> {
    let Some(object) = object else {
        return if optional {
            Ok(Payload::default())
        } else {
            Err(Reason::ConfigMapNotFound(name.to_owned()))
        };
    };
    let text = object.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary =
        object.binary_data.iter().flatten().map(|(key, ByteString(value))| (key.as_str(), value.as_slice()));
    let find = |key: &str| {
        let text = object.data.as_ref().and_then(|data| data.get(key)).map(String::as_bytes);
        text.or_else(|| object.binary_data.as_ref()?.get(key).map(|ByteString(value)| value.as_slice()))
    };
    from_keys(items, text.chain(binary), find, default_mode, optional, |key| {
        Reason::ConfigMapKey(key.to_owned())
    })
}
