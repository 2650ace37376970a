//! Where manifests come from, and how changes are found.

use std::path::PathBuf;
use std::time::Duration;

/// The section `store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The directory tree.
    pub path: PathBuf,
    /// How long a changed file must have been quiet.
    pub settle: Duration,
    /// Whether the tree is also listed at intervals.
    pub poll: Poll,
    /// Between two such listings.
    pub poll_interval: Duration,
    /// Between two listings that make sure that no change was missed.
    pub relist_interval: Duration,
    /// How long a removal of many DaemonSets at once is held back; [`Duration::MAX`]: until it is confirmed.
    pub empty_hold: Duration,
}

/// Whether a tree is listed at intervals rather than only when the kernel tells of a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Poll {
    /// On network file systems, which don't tell.
    #[default]
    Auto,
    /// On every file system.
    Always,
    /// On none.
    Never,
}
