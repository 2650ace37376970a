//! Keeps Secrets out of what is shown: their values are replaced before anything is made of them, so none can get through, whatever
//! expands, joins or copies it.

use std::sync::Arc;

use k8s_openapi::ByteString;

use crate::manifest::{Object, Objects, Stored};

/// What stands for a Secret's value.
pub(super) const MASK: &str = "<masked>";

/// The same objects with every Secret's values masked. A value that is no text stays, because it can't become a variable: it is
/// refused, by its key.
pub(super) fn masked(objects: &Objects) -> Objects {
    let masked = objects.0.iter().map(|(key, stored)| {
        let Object::Secret(secret) = &stored.object else { return (key.clone(), Arc::clone(stored)) };
        let mut secret = secret.clone();
        for value in secret.data.iter_mut().flat_map(|data| data.values_mut()) {
            if std::str::from_utf8(&value.0).is_ok() {
                *value = ByteString(MASK.into());
            }
        }
        let object = Object::Secret(secret);
        (key.clone(), Arc::new(Stored { origin: stored.origin.clone(), object }))
    });
    Objects(masked.collect())
}
