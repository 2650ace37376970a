//! From a located tree to a Kubernetes type, telling every type error and unknown field in one go.
//!
//! A serde reader that never stops at a wrong value: it notes the fault with path and line, puts a zero in its place and goes
//! on. Where Go's JSON decoder is lenient it is too: `null` is the zero value everywhere, quantities may be numbers, base64
//! may be broken into lines. Where Go is strict it is too: a number is no string.

mod access;
mod reader;

use std::cell::RefCell;

use serde::Deserialize;

use super::path::FieldPath;
use super::tree::Node;
use reader::{Reader, Step};

/// Something about one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The field.
    pub(crate) path: FieldPath,
    /// Its line in the file.
    pub(crate) line: u32,
    /// What there is to say.
    pub(crate) message: String,
}

/// What a decoder noted on its way.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Values of the wrong type or form. The object is not to be used if there are any.
    pub(crate) errors: Vec<Finding>,
    /// Fields that Kubernetes does not know.
    pub(crate) unknown: Vec<Finding>,
}

/// Decodes `node`, which must be of the kind of `T`. Without an object there is at least one error.
pub(crate) fn decode<'de, T: Deserialize<'de>>(node: &'de Node) -> (Option<T>, Findings) {
    let findings = RefCell::new(Findings::default());
    let result = T::deserialize(Reader::new(node, &Step::Root, &findings));
    let mut findings = findings.into_inner();
    match result {
        Ok(object) => (Some(object), findings),
        Err(error) => {
            let finding = Finding { path: FieldPath::root(), line: node.line, message: error.to_string() };
            findings.errors.push(finding);
            (None, findings)
        }
    }
}

#[cfg(test)]
mod tests;
