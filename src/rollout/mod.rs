//! Which pods of a DaemonSet this node should run now: revisions, the update strategy, and the ledger that remembers them.
//!
//! Pure but for [`ledger`] and [`history`], which keep each DaemonSet's counters and old templates on disk. The rules are those of the DaemonSet controller
//! (`pkg/controller/daemon`), seen from a single node.

pub mod conditions;
pub mod decide;
pub mod failures;
mod floor;
pub mod history;
pub mod hold;
pub mod ledger;
pub mod refused;
mod revision;
mod source;
pub mod status;

pub use revision::{HASH_VERSION, RevisionHash, is_same_pod, revision_of};
pub use source::{Override, OverrideCause, is_same_but_restarted};
