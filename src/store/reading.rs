//! What one file says, as the store keeps it: good objects to share, problems, and what was refused.

use std::path::Path;
use std::sync::Arc;

use crate::manifest::{self, ObjectKey, Problem, Reading, Stored};

/// Turns the bytes of one file into what it says. Pure; `manifest` provides it.
pub(super) type Parse = fn(&Arc<Path>, &[u8]) -> FileReading;

/// What one file says.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct FileReading {
    /// The good objects, in the order of the file.
    pub(super) objects: Vec<Arc<Stored>>,
    /// What is wrong or noteworthy.
    pub(super) problems: Vec<Problem>,
    /// Objects whose documents were refused: they claim the name, and what ran stays.
    pub(super) refused: Vec<ObjectKey>,
    /// A document was refused that doesn't say which object it is: it may be any that this file provided before.
    pub(super) refused_unidentified: bool,
}

impl From<Reading> for FileReading {
    fn from(reading: Reading) -> Self {
        let mut objects: Vec<_> = reading.objects.into_iter().map(Arc::new).collect();
        // Collecting may reuse the room of the objects themselves for the few pointers to them.
        objects.shrink_to_fit();
        FileReading {
            objects,
            problems: reading.problems,
            refused: reading.refused.identified,
            refused_unidentified: reading.refused.unidentified,
        }
    }
}

/// Reads manifests.
pub(super) fn read(file: &Arc<Path>, bytes: &[u8]) -> FileReading {
    manifest::read(file, bytes).into()
}
