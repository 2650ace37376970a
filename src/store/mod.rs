//! Where manifests come from: a stream of whole snapshots, and the last good one on disk.

mod snapshot;

pub use snapshot::{Freshness, IgnoredFile, Snapshot};
