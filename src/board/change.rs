//! What changed on the board, as a Kubernetes watch tells it.

use super::Item;

/// The `type` of a Kubernetes watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchType {
    /// The object is new.
    Added,
    /// The object is another than before.
    Modified,
    /// The object is gone.
    Deleted,
}

impl WatchType {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            WatchType::Added => "ADDED",
            WatchType::Modified => "MODIFIED",
            WatchType::Deleted => "DELETED",
        }
    }
}

/// One change of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The board's version after the change; the object carries the same.
    pub resource_version: u64,
    /// What happened.
    pub watch_type: WatchType,
    /// The object after the change, or as it last was if it is gone.
    pub item: Item,
}
