//! The highest counters of DaemonSets that are no longer remembered: what comes anew begins above them, so that no UID is given twice.
//!
//! One small file beside the ledger's entries. It is never lowered.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, AtomicFileError};
use crate::pod::identity::Incarnation;

/// No entry's file is called so: those have an underscore.
const FILE: &str = "floor.json";

/// The counters above which to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Floor {
    pub(super) instance: u64,
    pub(super) incarnation: Incarnation,
}

impl Default for Floor {
    fn default() -> Self {
        Self { instance: 0, incarnation: Incarnation(0) }
    }
}

impl Floor {
    pub(super) fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    pub(super) fn is_at(path: &Path) -> bool {
        path.file_name().is_some_and(|name| name == FILE)
    }

    /// Raised so that these counters are not given again.
    pub(super) fn above(self, instance: u64, incarnation: Incarnation) -> Self {
        Self { instance: self.instance.max(instance), incarnation: self.incarnation.max(incarnation) }
    }

    /// The floor in `dir`; on the ground if nothing was ever forgotten.
    pub(super) fn read(dir: &Path) -> Result<Self, String> {
        match std::fs::read(Self::path(dir)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Brings the floor to the disk.
    pub(super) fn write(self, dir: &Path) -> Result<(), AtomicFileError> {
        atomic_file::write(&Self::path(dir), &serde_json::to_vec(&self).unwrap_or_default(), 0o600)
    }
}
