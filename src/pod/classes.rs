//! What the classes that a template names give to its pod.
//!
//! Pure. The API server's admission plugins `priority` and `runtimeclass` look the same objects up.

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::api::node::v1::RuntimeClass;
use thiserror::Error;

use super::priority::{self, UnknownClass};
use crate::cri::translate::TranslateError;
use crate::cri::translate::runtime_class::runtime_class;
use crate::manifest::Objects;

/// What a pod has of its classes; the default is that of one that names none where none is the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Classes<'a> {
    /// The value of the priority class that it names, or of the default one.
    pub priority: Option<i32>,
    /// Whether that class lets it displace others.
    pub preemption_policy: Option<&'a str>,
    /// The runtime class that it names.
    pub runtime: Option<&'a RuntimeClass>,
}

/// A pod names a class that is not in the store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClassError {
    /// A priority class.
    #[error(transparent)]
    Priority(#[from] UnknownClass),
    /// A runtime class.
    #[error(transparent)]
    Runtime(TranslateError),
}

impl ClassError {
    /// The field of a DaemonSet that names the class.
    pub const fn field(&self) -> &'static str {
        match self {
            ClassError::Priority(_) => "spec.template.spec.priorityClassName",
            ClassError::Runtime(_) => "spec.template.spec.runtimeClassName",
        }
    }
}

impl<'a> Classes<'a> {
    /// The classes of a template's pod.
    ///
    /// # Errors
    /// When it names one that is not among `objects`.
    pub fn of(spec: &PodSpec, objects: &'a Objects) -> Result<Self, ClassError> {
        Ok(Self {
            priority: priority::resolve(spec, objects)?,
            preemption_policy: priority::preemption_policy(spec, objects),
            runtime: runtime_class(spec, objects).map_err(ClassError::Runtime)?,
        })
    }
}
