//! Where manifests come from: a stream of whole snapshots, and the last good one on disk.
//!
//! `dir` is the only kind of store so far. It holds no Kubernetes rule; the rules of its own (what a merge keeps, what the guard
//! believes, when to look) are pure modules, and the modules that touch the disk or the kernel hold none.

mod dir;
mod glance;
mod guard;
mod last_good;
mod listing;
mod merge;
mod mounts;
mod reader;
mod reading;
mod settle;
mod snapshot;
mod survey;
pub mod trust;
mod watch;

pub use dir::{DirSettings, DirStore, PollMode, StoreHandle};
pub use glance::glance;
pub use guard::Thresholds;
pub(crate) use listing::{is_manifest_path, is_on_network};
pub use snapshot::{Freshness, HeldRemovals, IgnoredFile, Snapshot};
pub use survey::{Source, Survey, survey};
pub use trust::{TrustSettings, Verification, verify};
pub(crate) use watch::DirectoryWatch;
