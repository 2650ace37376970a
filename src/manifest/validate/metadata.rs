//! Metadata: names, namespaces, labels, annotations. Rule: `apimachinery/pkg/api/validation/objectmeta.go`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::error::{Errors, FieldError};
use super::names;
use crate::manifest::path::FieldPath;

/// What all annotations of an object may have together, in bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Labels, annotations and finalizers, whatever the object.
pub(super) fn common(metadata: &ObjectMeta, name_format: fn(&str) -> Vec<String>, errors: &mut Errors) {
    let path = FieldPath::new("metadata");
    match metadata.name.as_deref().unwrap_or_default() {
        "" if metadata.generate_name.is_some() => {
            errors.required(
                path.child("name"),
                "a name made by generateName would be another one at each reading",
            );
        }
        "" => errors.required(path.child("name"), "name or generateName is required"),
        name => errors.format(&path.child("name"), name, name_format(name)),
    }
    if let Some(namespace) = metadata.namespace.as_deref() {
        errors.format(&path.child("namespace"), namespace, names::dns_label(namespace));
    }
    errors.not_negative(path.child("generation"), metadata.generation);
    labels(metadata.labels.as_ref(), &path.child("labels"), errors);
    annotations(metadata.annotations.as_ref(), &path.child("annotations"), errors);
    for finalizer in metadata.finalizers.iter().flatten() {
        errors.format(&path.child("finalizers"), finalizer, names::qualified_name(finalizer));
    }
}

/// Keys and values of labels, or of anything that selects by labels. Both are reported at the map itself.
pub(super) fn labels(labels: Option<&BTreeMap<String, String>>, path: &FieldPath, errors: &mut Errors) {
    for (key, value) in labels.into_iter().flatten() {
        errors.format(path, key, names::qualified_name(key));
        errors.format(path, value, names::label_value(value));
    }
}

/// Keys of annotations, whose case does not count, and their size together.
pub(super) fn annotations(map: Option<&BTreeMap<String, String>>, path: &FieldPath, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in map.into_iter().flatten() {
        errors.format(path, key, names::qualified_name(&key.to_lowercase()));
        size += key.len() + value.len();
    }
    if size > MAX_ANNOTATIONS {
        errors.add(FieldError::too_long(path.clone(), MAX_ANNOTATIONS));
    }
}
