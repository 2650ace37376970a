//! One look at manifests without a store around it: what the agent would make of them, were they all there is.
//!
//! The listing, the names that count and the rule about one object in two places are the store's own, so that `validate` and the
//! agent can't differ. Nothing is remembered, kept or removed.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::IgnoredFile;
use super::listing::Lister;
use super::merge::{FileState, Files, Removals, merge};
use super::reading;
use super::settle::Look;
use crate::manifest::{Objects, Problem, Severity};

/// Manifests to look at.
#[derive(Debug)]
pub enum Source {
    /// A directory of manifests.
    Tree(Arc<Path>),
    /// The content of one file, whatever its name.
    Content(Arc<Path>, Vec<u8>),
}

/// What the manifests say together.
#[derive(Debug, Default)]
pub struct Survey {
    /// How many files were read.
    pub files: usize,
    /// The good objects.
    pub objects: Objects,
    /// Everything wrong or noteworthy, by file and line.
    pub problems: Vec<Problem>,
    /// Files that are no manifests.
    pub ignored: Vec<IgnoredFile>,
}

/// Looks at all sources as if they were one store. Blocks as long as the file system does.
pub fn survey(sources: &[Source]) -> Survey {
    let mut files = Files::new();
    let mut survey = Survey::default();
    for source in sources {
        match source {
            Source::Content(file, bytes) => {
                let read = reading::read(file, bytes);
                files.insert(Arc::clone(file), FileState::Read(Arc::new(read)));
            }
            Source::Tree(root) => {
                let look = Look::Settled { writing: HashSet::new() };
                let listing = Lister::new(Arc::clone(root), reading::read).list(&look, None);
                files.extend(listing.files);
                survey.ignored.extend(listing.ignored);
                survey.problems.extend(listing.problems);
                let failures = listing.failures.into_iter().map(|message| Problem {
                    severity: Severity::Error,
                    file: Arc::clone(root),
                    line: 0,
                    field: String::new(),
                    message,
                    object: None,
                });
                survey.problems.extend(failures);
            }
        }
    }
    let merged = merge(&Objects::default(), &files, Removals::Held);
    survey.files = files.len();
    survey.objects = merged.objects;
    survey.problems.extend(merged.problems);
    survey.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    survey
}
