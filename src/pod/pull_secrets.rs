//! The credentials of a pod's `imagePullSecrets`. Pure.

use k8s_openapi::api::core::v1::Pod;
use tracing::warn;

use crate::image::{Keyring, SecretFormat};
use crate::manifest::Objects;

/// What the pull secrets that are in the store hold, and the names of the others.
pub fn read(pod: &Pod, objects: &Objects) -> (Keyring, Vec<String>) {
    let (mut keyring, mut missing) = (Keyring::default(), Vec::new());
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let secrets = pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_deref());
    for reference in secrets.unwrap_or_default().iter().filter(|reference| !reference.name.is_empty()) {
        let Some(secret) = objects.secret(namespace, &reference.name) else {
            missing.push(reference.name.clone());
            continue;
        };
        let Some(format) = secret.type_.as_deref().and_then(SecretFormat::of_secret_type) else {
            continue;
        };
        let Some(document) = secret.data.as_ref().and_then(|data| data.get(format.data_key())) else {
            continue;
        };
        if let Err(error) = keyring.add(format, &document.0) {
            warn!(secret = reference.name, %error, "the image pull secret can't be used");
        }
    }
    (keyring, missing)
}
