//! What the agent keeps below its state directory (`rootDir`), and under which name.
//!
//! Every name of that directory that is the agent's own stands here and nowhere else, so that what is written is also found, and removed when
//! the node leaves. Pods' directories are [`volume`](crate::volume)'s, the archives' folder is a setting. What each one is for, and what
//! losing it costs, is told in `ARCHITECTURE.md`.

use std::path::{Path, PathBuf};

/// Something that is kept on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateEntry {
    /// Which bundles there were, and the digests of their manifests.
    Bundles,
    /// The lock of the commands that change bundles.
    BundleLock,
    /// A ledger entry for each DaemonSet, below it.
    Ledger,
    /// When the node was first seen.
    FirstSeen,
    /// What is held.
    Holds,
    /// What image archives have given.
    Images,
    /// What the node's own file said when it could last be read.
    NodeFile,
    /// A record for each pod, below it.
    Records,
    /// Old revisions of pod templates, below it.
    Revisions,
    /// That the agent has stepped back for a kubelet.
    SteppedBack,
    /// The last good content of the store, below it.
    Store,
    /// Since when the node has its NoExecute taints.
    TaintTimes,
}

impl StateEntry {
    /// All there is.
    pub const ALL: [Self; 12] = [
        Self::Bundles,
        Self::BundleLock,
        Self::Ledger,
        Self::FirstSeen,
        Self::Holds,
        Self::Images,
        Self::NodeFile,
        Self::Records,
        Self::Revisions,
        Self::SteppedBack,
        Self::Store,
        Self::TaintTimes,
    ];

    /// Its path, below the state directory.
    pub fn below(self, root_dir: &Path) -> PathBuf {
        root_dir.join(self.name())
    }

    /// Its file name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bundles => "bundle.json",
            Self::BundleLock => "bundle.lock",
            Self::Ledger => "daemonsets",
            Self::FirstSeen => "first-seen.json",
            Self::Holds => "holds.json",
            Self::Images => "images.json",
            Self::NodeFile => "node.json",
            Self::Records => "records",
            Self::Revisions => "revisions",
            Self::SteppedBack => "stepped-back.json",
            Self::Store => "store",
            Self::TaintTimes => "taints.json",
        }
    }
}
