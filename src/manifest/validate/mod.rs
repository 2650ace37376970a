//! What the API server refuses, field by field, in its own words.
//!
//! Pure functions over defaulted objects. Every rule of an object is looked at in one run. Rules and texts:
//! `pkg/apis/apps/validation` and `pkg/apis/core/validation` of Kubernetes v1.32.

mod affinity;
mod apparmor;
mod cluster;
mod container;
mod daemonset;
mod data;
mod dns;
mod downward;
mod env;
mod error;
mod metadata;
mod mounts;
pub(crate) mod names;
mod pod_security;
mod pod_spec;
mod ports;
mod probes;
mod resources;
mod security;
mod selector;
mod tolerations;
mod topology;
mod unsupported;
mod volumes;

pub use error::{FieldError, FieldErrorKind, Shown};
pub use unsupported::unsupported;

use error::Errors;

use super::Object;
use super::path::FieldPath;

/// Tells whether the manifest writes a field. Needed where the types can't tell an absent field from an empty one.
pub type Written<'a> = &'a dyn Fn(&FieldPath) -> bool;

/// Every rule that `object`, with its defaults filled in, breaks.
pub fn object(object: &Object, written: Written<'_>) -> Vec<FieldError> {
    let mut errors = Errors::default();
    match object {
        Object::DaemonSet(found) => daemonset::daemon_set(found, written, &mut errors),
        Object::ConfigMap(found) => data::config_map(found, &mut errors),
        Object::Secret(found) => data::secret(found, &mut errors),
        Object::Node(found) => cluster::node(found, &mut errors),
        Object::Namespace(found) => cluster::namespace(found, &mut errors),
        Object::PriorityClass(found) => cluster::priority_class(found, &mut errors),
        Object::RuntimeClass(found) => cluster::runtime_class(found, &mut errors),
        Object::ControllerRevision(found) => cluster::controller_revision(found, &mut errors),
    }
    errors.0
}

#[cfg(test)]
mod tests;
