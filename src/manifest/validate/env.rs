//! Environment variables and where their values come from. Rule: `ValidateEnv`, `ValidateEnvFrom` in `core/validation`.

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, EnvVarSource};

use super::error::{Errors, FieldError};
use super::{downward, names};
use crate::manifest::path::FieldPath;

pub(super) fn env(container: &Container, path: &FieldPath, errors: &mut Errors) {
    for (index, variable) in container.env.iter().flatten().enumerate() {
        let path = path.child("env").index(index);
        if errors.present(path.child("name"), &variable.name) {
            errors.format(&path.child("name"), &variable.name, names::env_name(&variable.name));
        }
        if let Some(source) = &variable.value_from {
            value_from(variable, source, &path.child("valueFrom"), errors);
        }
    }
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        env_from(source, &path.child("envFrom"), index, errors);
    }
}

fn value_from(variable: &EnvVar, source: &EnvVarSource, path: &FieldPath, errors: &mut Errors) {
    let mut count = 0;
    if let Some(field) = &source.field_ref {
        count += 1;
        downward::field(field, downward::Place::Variable, &path.child("fieldRef"), errors);
    }
    if let Some(resource) = &source.resource_field_ref {
        count += 1;
        downward::resource(resource, downward::Place::Variable, &path.child("resourceFieldRef"), errors);
    }
    if let Some(key) = &source.config_map_key_ref {
        count += 1;
        object_key(&key.name, &key.key, &path.child("configMapKeyRef"), errors);
    }
    if let Some(key) = &source.secret_key_ref {
        count += 1;
        object_key(&key.name, &key.key, &path.child("secretKeyRef"), errors);
    }
    if source.file_key_ref.is_some() {
        count += 1;
    }
    let detail = match count {
        0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        _ if variable.value.as_ref().is_some_and(|value| !value.is_empty()) => {
            "may not be specified when `value` is not empty"
        }
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.invalid(path.clone(), "", detail);
}

fn object_key(name: &str, key: &str, path: &FieldPath, errors: &mut Errors) {
    errors.present(path.child("name"), name);
    if errors.present(path.child("key"), key) {
        errors.format(&path.child("key"), key, names::config_key(key));
    }
}

fn env_from(source: &EnvFromSource, list: &FieldPath, index: usize, errors: &mut Errors) {
    let path = list.index(index);
    if let Some(prefix) = source.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        errors.format(&path.child("prefix"), prefix, names::env_name(prefix));
    }
    if let Some(config_map) = &source.config_map_ref {
        errors.present(path.child("configMapRef.name"), &config_map.name);
    }
    if let Some(secret) = &source.secret_ref {
        errors.present(path.child("secretRef.name"), &secret.name);
    }
    let detail = match (&source.config_map_ref, &source.secret_ref) {
        (None, None) => "must specify one of: `configMapRef` or `secretRef`",
        (Some(_), Some(_)) => "may not have more than one field specified at a time",
        _ => return,
    };
    // The API server leaves the index out here.
    errors.add(FieldError::invalid(list.clone(), "", detail));
}
