//! What is wrong with a manifest, and where: `file:line: field.path: problem`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::ObjectKey;

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// For information: another program's object was set aside.
    Notice,
    /// The object is used all the same (an unknown field, a duplicate key); an error under `--strict`.
    Warning,
    /// The object is refused; what ran before stays.
    Error,
}

/// One problem with one document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// The file, as the user would name it (`-` for standard input).
    pub file: Arc<Path>,
    /// The line of the field (or of the nearest parent that is written), counted from 1; 0 when the whole file is meant.
    pub line: u32,
    /// The field's path as the API server writes it (`spec.template.spec.containers[0].image`); empty when the whole document is meant.
    pub field: String,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// The object, where the document says so much.
    pub object: Option<ObjectKey>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        match self.severity {
            Severity::Error => {}
            Severity::Warning => write!(f, " warning:")?,
            Severity::Notice => write!(f, " notice:")?,
        }
        if !self.field.is_empty() {
            write!(f, " {}:", self.field)?;
        }
        write!(f, " {}", self.message)
    }
}
