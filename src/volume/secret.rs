//! What a secret volume holds: the object's `data`. `stringData` is merged when the object is read.
//! Rule: `pkg/volume/secret` (`MakePayload`).

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{KeyToPath, Secret};

use super::error::Reason;
use super::payload::{Payload, from_keys};

/// The files of a Secret; `None` is an object that isn't in the store.
pub(super) fn payload<'a>(
    object: Option<&'a Secret>,
    name: &str,
    items: Option<&[KeyToPath]>,
    default_mode: i32,
    optional: bool,
) -> Result<Payload<'a>, Reason> {
    let Some(object) = object else {
        return if optional { Ok(Payload::default()) } else { Err(Reason::SecretNotFound(name.to_owned())) };
    };
    let all = object.data.iter().flatten().map(|(key, ByteString(value))| (key.as_str(), value.as_slice()));
    let find = |key: &str| object.data.as_ref()?.get(key).map(|ByteString(value)| value.as_slice());
    from_keys(items, all, find, default_mode, optional, |key| Reason::SecretKey(key.to_owned()))
}
