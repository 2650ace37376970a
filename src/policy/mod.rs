//! What the operator allows pods to do: the Pod Security Standards of their namespace, and the node's own lists of host paths and
//! image registries.
//!
//! Pure: a DaemonSet and its Namespace in, a [`Judgement`] with every reason out. A policy judges pods before they are made, as the API
//! server's admission does; it must never stop one that runs.

pub mod host_paths;
pub mod pod_security;
pub mod registries;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, Pod, PodSpec};

use self::host_paths::HostPaths;
pub use self::pod_security::LabelFault;
use self::pod_security::{Modes, Standard, Violations, evaluate};
use self::registries::Registries;
use crate::manifest::validate::FieldError;
use crate::manifest::{FieldPath, Kind, Object, Objects};
use crate::pod::blueprint::Blueprint;
use crate::pod::classes::Classes;

/// The agent's policy. By default everything is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The standards of a namespace whose labels don't say.
    pub defaults: Modes,
    /// Namespaces in which no Pod Security Standard counts, whatever their labels.
    pub exempt_namespaces: BTreeSet<String>,
    /// Which host paths pods of any namespace may mount.
    pub host_paths: HostPaths,
    /// Which registries images of any namespace may come from.
    pub registries: Registries,
}

/// One reason why a pod is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It breaks the standard that its namespace enforces.
    PodSecurity(Violations),
    /// A label of its Namespace can't be read, so that the strictest standard was enforced.
    Label(LabelFault),
    /// A field has a value that this node does not allow. The path is the pod's.
    Field(FieldError),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PodSecurity(violations) => write!(f, "violates {violations}"),
            Self::Label(fault) => write!(f, "the Namespace has {fault}"),
            Self::Field(error) => error.fmt(f),
        }
    }
}

/// What a policy says of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Why it is not made; empty: it may be.
    pub refusals: Vec<Refusal>,
    /// The standard to warn of, where the pod breaks it and is made all the same.
    pub warning: Option<Violations>,
    /// The standard to log by, where the pod breaks it.
    pub audit: Option<Violations>,
    /// Labels of the Namespace that can't be read.
    pub label_faults: Vec<LabelFault>,
}

impl Judgement {
    /// The whole refusal as the API server words it; none when the pod may be made.
    pub fn forbids(&self, pod: &str) -> Option<String> {
        let reasons: Vec<String> = self.refusals.iter().map(ToString::to_string).collect();
        (!reasons.is_empty()).then(|| format!("pods {pod:?} is forbidden: {}", reasons.join("; ")))
    }
}

impl Policy {
    /// Judges the pod that would be made of a DaemonSet, by the labels of its Namespace among `objects`.
    pub fn judge(&self, daemon_set: &DaemonSet, objects: &Objects) -> Judgement {
        let Some(template) = daemon_set.spec.as_ref().map(|spec| &spec.template) else {
            return Judgement::default();
        };
        // The standards speak of pods as they are made: on the host's network every port is a host port, though no template says so.
        let made = Blueprint {
            daemon_set,
            template,
            revision_hash: "",
            template_generation: None,
            name: "",
            uid: "",
            node_name: "",
            classes: Classes::default(),
        };
        let namespace = daemon_set.metadata.namespace.as_deref().unwrap_or("default");
        self.judge_pod(&made.pod(), namespace, namespace_of(objects, namespace))
    }

    fn judge_pod(&self, pod: &Pod, name: &str, namespace: Option<&Namespace>) -> Judgement {
        let nothing = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&nothing);
        let fields = self.host_paths.refuse(spec).into_iter().chain(self.registries.refuse(spec));
        let fields: Vec<Refusal> = fields.map(Refusal::Field).collect();
        if self.exempt_namespaces.contains(name) {
            return Judgement { refusals: fields, ..Judgement::default() };
        }
        let labels = namespace.and_then(|namespace| namespace.metadata.labels.as_ref());
        let (modes, label_faults) = Modes::of(labels, self.defaults);
        let broken = |standard: Standard| evaluate(standard, &pod.metadata, spec);

        let mut refusals: Vec<Refusal> =
            broken(modes.enforce).map(Refusal::PodSecurity).into_iter().collect();
        if !refusals.is_empty() {
            let enforcing = label_faults.iter().filter(|fault| fault.is_about_enforcement());
            refusals.extend(enforcing.cloned().map(Refusal::Label));
        }
        refusals.extend(fields);
        let warning = if refusals.is_empty() { broken(modes.warn) } else { None };
        Judgement { refusals, warning, audit: broken(modes.audit), label_faults }
    }
}

/// The labels of a Namespace that say something of Pod Security and can't be read.
pub fn label_faults(namespace: &Namespace) -> Vec<LabelFault> {
    Modes::of(namespace.metadata.labels.as_ref(), Modes::default()).1
}

fn namespace_of<'a>(objects: &'a Objects, name: &str) -> Option<&'a Namespace> {
    match objects.get(Kind::Namespace, "", name)? {
        Object::Namespace(found) => Some(found),
        _ => None,
    }
}

/// A field's value that is not on a list, and what to do about it.
fn not_listed(path: FieldPath, value: &str, allowed: &str, key: &str) -> FieldError {
    let detail = format!(
        "{value:?} is not allowed on this node, only {allowed}: use one of these, or add it to {key} in the agent's configuration"
    );
    FieldError::forbidden(path, detail)
}
