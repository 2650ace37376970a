//! What the API server refuses, field by field, in its own words.
//!
//! Pure functions over defaulted objects. Every rule of an object is looked at in one run. Rules and texts:
//! `pkg/apis/apps/validation` and `pkg/apis/core/validation` of Kubernetes v1.32.

mod error;

pub use error::{FieldError, Shown};

use super::Object;

/// Every rule that `object`, with its defaults filled in, breaks.
pub fn object(_object: &Object) -> Vec<FieldError> {
    Vec::new()
}
