//! ConfigMaps and Secrets. Rule: `ValidateConfigMap`, `ValidateSecret` in `core/validation`.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::error::{Errors, FieldError};
use super::{metadata, names};
use crate::manifest::path::FieldPath;

/// What a ConfigMap or Secret may hold, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// Whose token a Secret holds.
const SERVICE_ACCOUNT: &str = "kubernetes.io/service-account.name";

pub(super) fn config_map(config_map: &ConfigMap, errors: &mut Errors) {
    metadata::common(&config_map.metadata, names::dns_subdomain, errors);
    let (data_path, binary_path) = (FieldPath::new("data"), FieldPath::new("binaryData"));
    let mut size = 0;
    for (key, value) in config_map.data.iter().flatten() {
        errors.format(&data_path.key(key), key, names::config_key(key));
        size += value.len();
        if config_map.binary_data.as_ref().is_some_and(|binary| binary.contains_key(key)) {
            errors.invalid(data_path.key(key), key, "duplicate of key present in binaryData");
        }
    }
    for (key, value) in config_map.binary_data.iter().flatten() {
        errors.format(&binary_path.key(key), key, names::config_key(key));
        size += value.0.len();
    }
    if size > MAX_BYTES {
        errors.add(FieldError::too_long(FieldPath::root(), MAX_BYTES));
    }
}

pub(super) fn secret(secret: &Secret, errors: &mut Errors) {
    metadata::common(&secret.metadata, names::dns_subdomain, errors);
    let path = FieldPath::new("data");
    let mut size = 0;
    for (key, value) in secret.data.iter().flatten() {
        errors.format(&path.key(key), key, names::config_key(key));
        size += value.0.len();
    }
    if size > MAX_BYTES {
        errors.add(FieldError::too_long(path.clone(), MAX_BYTES));
    }
    let value = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
    let mut need = |key: &str| {
        if value(key).is_none_or(|value| value.0.is_empty()) {
            errors.required(path.key(key), "");
        }
    };
    match secret.type_.as_deref().unwrap_or_default() {
        "kubernetes.io/service-account-token" => {
            let annotations = secret.metadata.annotations.as_ref();
            if annotations.and_then(|all| all.get(SERVICE_ACCOUNT)).is_none_or(String::is_empty) {
                errors.required(FieldPath::new("metadata.annotations").key(SERVICE_ACCOUNT), "");
            }
        }
        "kubernetes.io/dockercfg" => need(".dockercfg"),
        "kubernetes.io/dockerconfigjson" => need(".dockerconfigjson"),
        "kubernetes.io/ssh-auth" => need("ssh-privatekey"),
        "kubernetes.io/tls" => ["tls.crt", "tls.key"].into_iter().for_each(|key| {
            if value(key).is_none() {
                errors.required(path.key(key), "");
            }
        }),
        "kubernetes.io/basic-auth" if value("username").is_none() && value("password").is_none() => {
            errors.required(path.key("username"), "");
            errors.required(path.key("password"), "");
        }
        _ => {}
    }
    for key in [".dockercfg", ".dockerconfigjson"] {
        let typed = secret.type_.as_deref() == Some(&format!("kubernetes.io/{}", &key[1..]));
        let is_json = |bytes: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        if typed && value(key).is_some_and(|value| !value.0.is_empty() && !is_json(&value.0)) {
            // The value is secret: it is not shown.
            errors.invalid(path.key(key), "<secret contents redacted>", "invalid character: it must be JSON");
        }
    }
}
