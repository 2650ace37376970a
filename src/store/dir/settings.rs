//! How a directory is watched.

use std::path::PathBuf;
use std::time::Duration;

use super::super::TrustSettings;

/// Whether to look at the directory at intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PollMode {
    /// Where the kernel can't tell of changes: on network file systems, or when it has no watches left.
    #[default]
    Auto,
    /// Always, and rely on nothing else.
    Always,
    /// Never.
    Never,
}

/// How a directory is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirSettings {
    /// The directory.
    pub path: PathBuf,
    /// How long the directory must be quiet before what is not known to be whole is read, and what is gone is believed.
    pub settle: Duration,
    /// Whether to look at intervals.
    pub poll: PollMode,
    /// The interval.
    pub poll_interval: Duration,
    /// The interval of the looks that make sure, where the kernel tells of changes.
    pub relist_interval: Duration,
    /// How long the sudden loss of many DaemonSets is not believed; [`Duration::MAX`]: until somebody confirms it.
    pub empty_hold: Duration,
    /// A store that does not answer for so long counts as away.
    pub answer_within: Duration,
    /// The last good content.
    pub state_file: PathBuf,
    /// What has to vouch for the directory; none: everything in it counts.
    pub trust: Option<TrustSettings>,
}

impl DirSettings {
    /// The defaults, for this directory and this file.
    pub fn new(path: impl Into<PathBuf>, state_file: impl Into<PathBuf>) -> Self {
        DirSettings {
            path: path.into(),
            settle: Duration::from_millis(100),
            poll: PollMode::Auto,
            poll_interval: Duration::from_secs(10),
            relist_interval: Duration::from_secs(5 * 60),
            empty_hold: Duration::from_secs(15 * 60),
            answer_within: Duration::from_secs(60),
            state_file: state_file.into(),
            trust: None,
        }
    }
}
