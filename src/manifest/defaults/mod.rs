//! The values that the API server fills in where a manifest says nothing.
//!
//! They are part of the stored object and so of its revision hash; those that Kubernetes gives only to Pods (`hostPort` under
//! `hostNetwork`, requests from limits, `enableServiceLinks`) are not here. Rule: `pkg/apis/{apps,core,node}/v1/defaults.go`.

mod container;
mod daemonset;
mod pod;
mod volume;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::scheduling::v1::PriorityClass;

use super::Object;

pub use daemonset::daemon_set;

/// Fills in the defaults of `object`, its namespace among them (an object of a kind without namespaces loses it).
pub fn apply(object: &mut Object) {
    if object.kind().is_namespaced() {
        let namespace = &mut object.metadata_mut().namespace;
        if namespace.as_deref().unwrap_or_default().is_empty() {
            *namespace = Some("default".to_owned());
        }
    } else {
        object.metadata_mut().namespace = None;
    }
    match object {
        Object::DaemonSet(found) => daemon_set(found),
        Object::Secret(found) => secret(found),
        Object::PriorityClass(found) => priority_class(found),
        Object::ConfigMap(_)
        | Object::Node(_)
        | Object::Namespace(_)
        | Object::RuntimeClass(_)
        | Object::ControllerRevision(_) => {}
    }
}

/// Sets a field that is absent. An empty text counts as absent, as Go's zero value does.
fn text(field: &mut Option<String>, default: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(default.to_owned());
    }
}

/// Plain text given in `stringData` rules over `data`; only `data` is kept.
fn secret(secret: &mut Secret) {
    text(&mut secret.type_, "Opaque");
    if let Some(plain) = secret.string_data.take() {
        let data = secret.data.get_or_insert_default();
        data.extend(plain.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))));
    }
}

fn priority_class(class: &mut PriorityClass) {
    text(&mut class.preemption_policy, "PreemptLowerPriority");
}

#[cfg(test)]
mod tests;
