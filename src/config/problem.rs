//! What is wrong with the configuration, and where.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// The file.
        path: Arc<Path>,
        /// The line, counted from 1; 0 when the whole file is meant.
        line: u32,
    },
    /// In an environment variable of this name.
    Environment(String),
    /// As a flag, which has the key's name.
    Flag,
    /// Nowhere: it is the default.
    Default,
}

/// One problem with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is written.
    pub origin: Origin,
    /// The key with its section (`store.path`); empty when the whole source is meant.
    pub key: String,
    /// What is wrong, and what to do about it.
    pub message: String,
}

/// The configuration can't be used, for all of these reasons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// All that is wrong, in the order of the sources.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line: 0 } => path.display().fmt(f),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(variable) => write!(f, "environment variable {variable}"),
            Origin::Flag => f.write_str("flag"),
            Origin::Default => f.write_str("default"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration has problems:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}
