//! What only containerd's own API gives: its event stream.
//!
//! Everything that the CRI can do is done there; daemonlet runs on any CRI v1 runtime, and with containerd it learns of changes
//! at once. Nothing here decides anything: an event only says when to look.

mod event;
mod watch;

pub use event::{EventSource, RuntimeEvent};
pub use watch::watch;
