//! The agent: the only place that wires the rooms together, starts their tasks and shuts them down.
//!
//! ```text
//!  store ──snapshots──► ┌────────────┐ ──orders──► pod workers ──CRI──► runtime
//!  node  ──Node───────► │ reconciler │ ◄─reports──     │  ▲               │
//!  runtime ─events────► └────────────┘ ──wakes─────────┼──┘ ◄──events─────┘
//!                                                      ▼
//!                                        board ◄── status, Events ──► api
//! ```
//!
//! Everything runs on one thread. [`attend`] puts the rooms together; [`stance`] says whether the node's pods are this agent's at all. Ending the
//! agent ends no pod.

mod attend;
mod attended;
mod base;
mod cpu_sharing;
mod derived;
mod error;
mod eviction;
mod hand_over;
mod hints;
mod holding;
mod host;
mod housekeeping;
mod image_gc;
mod kubelet_watch;
mod lock;
mod log_rotation;
mod main_loop;
mod node_shutdown;
mod obey;
pub mod offline;
mod oom_watch;
mod orphans;
mod prefetch;
mod purpose;
mod reconcile;
mod recording;
mod reset;
mod runtime;
mod serving;
mod stance;
mod standby;
mod store_news;
mod take_over;
mod unattended;

use tokio_util::sync::CancellationToken;

use self::attend::attend;
use self::attended::attended;
use self::derived::amounts;
pub(crate) use self::derived::{last_good, store_trust};
pub use self::error::AgentError;
pub use self::lock::LockError;
use self::purpose::{Ended, Purpose};
use crate::config::Settings;
pub use hand_over::{
    Footing, Step as HandOverStep, hand_over, plan as plan_hand_over, text as static_pod_text,
};
pub use reset::{ResetError, removable, reset};
pub use take_over::{TakeOverError, Taken, take_over};

/// Runs the agent until `shutdown`.
///
/// # Errors
/// When something is missing that it can't do without. A runtime or a store that isn't there is waited for.
pub async fn run(settings: Settings, shutdown: CancellationToken) -> Result<(), AgentError> {
    stance::run(&settings, &shutdown).await
}

/// Ends every pod of this node, with its hooks and its grace; says whether all are gone before `shutdown`.
///
/// # Errors
/// As [`run`].
pub async fn end_pods(settings: &Settings, shutdown: &CancellationToken) -> Result<bool, AgentError> {
    let _lock = lock::StateLock::take(&settings.root_dir)?;
    Ok(attend(settings, Purpose::EndPods, shutdown).await? == Ended::Done)
}
