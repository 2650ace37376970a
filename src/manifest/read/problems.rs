//! How the findings of one document become problems of its file.

use std::path::Path;
use std::sync::Arc;

use crate::manifest::decode::Finding;
use crate::manifest::path::FieldPath;
use crate::manifest::tree::Node;
use crate::manifest::validate::FieldError;
use crate::manifest::{ObjectKey, Problem, Severity};

/// A document's place and name, from which its problems are made.
pub(super) struct Reporter<'a> {
    pub(super) file: &'a Arc<Path>,
    pub(super) root: &'a Node,
    pub(super) object: Option<ObjectKey>,
}

impl Reporter<'_> {
    /// A problem of the field at `path`.
    pub(super) fn at(&self, severity: Severity, path: &FieldPath, message: String) -> Problem {
        self.problem(severity, self.root.line_of(path), path.to_string(), message)
    }

    /// A problem that the decoder found, which knows its line.
    pub(super) fn finding(&self, severity: Severity, finding: Finding) -> Problem {
        self.problem(severity, finding.line, finding.path.to_string(), finding.message)
    }

    /// A rule of the API that is broken.
    pub(super) fn broken_rule(&self, error: &FieldError) -> Problem {
        self.at(Severity::Error, &error.path, error.message())
    }

    fn problem(&self, severity: Severity, line: u32, field: String, message: String) -> Problem {
        Problem { severity, file: self.file.clone(), line, field, message, object: self.object.clone() }
    }
}
