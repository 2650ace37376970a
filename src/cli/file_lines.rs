//! Lines of fields in the files that a command was given, for what is said of objects once all of them are known.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::manifest::{FieldPath, Lines, Stored};

/// Finds lines. A file is read again only when something is said of it.
#[derive(Debug, Default)]
pub(super) struct FileLines(RefCell<HashMap<Arc<Path>, Lines>>);

impl FileLines {
    /// What was read already: standard input can't be read again.
    pub(super) fn given(&mut self, file: Arc<Path>, bytes: &[u8]) {
        self.0.get_mut().insert(file, Lines::of(bytes));
    }

    /// The line of a field, or of its nearest parent that is written.
    pub(super) fn line_of(&self, stored: &Stored, field: &FieldPath) -> u32 {
        let file = &stored.origin.file;
        let mut known = self.0.borrow_mut();
        let lines = known.entry(Arc::clone(file)).or_insert_with(|| {
            let bytes = fs::read(file).unwrap_or_default();
            Lines::of(&bytes)
        });
        lines.line_of(stored, field)
    }
}
