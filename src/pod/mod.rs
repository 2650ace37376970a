//! One pod on this node: who it is, what must happen to it next, and the worker that makes it happen.
//!
//! The deciding half is pure: [`blueprint`] (template → pod), [`identity`], [`plan`] (desired × observed × clock → actions), [`grace`],
//! [`requests`] and [`status`]. The acting half, one [`worker`] task a pod, observes the runtime, asks the plan, and performs it; it holds no rule
//! of its own.

pub mod aggregate;
pub mod blueprint;
pub mod classes;
pub mod context;
pub mod disruption;
pub mod failure;
pub mod grace;
pub mod identity;
pub mod logs;
pub mod network;
pub mod node_credentials;
pub mod observe;
pub mod observed;
pub mod orphans;
pub mod plan;
pub mod priority;
pub mod pull;
pub mod pull_secrets;
pub mod rebuild;
pub mod record;
pub mod requests;
pub mod sandbox_image;
pub mod status;
#[cfg(test)]
pub(crate) mod testing;
pub mod user_namespace;
pub mod worker;

/// Our mark: sandboxes and containers with this label are daemonlet's, with the node's name for its value; all others are somebody
/// else's and are never touched.
pub const MARK: &str = "daemonlet.dev/node";
/// Beside the mark: the DaemonSet's name, the revision and the incarnation, so that a pod whose record is lost still counts as its
/// DaemonSet's.
pub const DAEMON_SET_MARK: &str = "daemonlet.dev/daemonset";
/// See [`DAEMON_SET_MARK`].
pub const REVISION_MARK: &str = "daemonlet.dev/revision";
/// See [`DAEMON_SET_MARK`].
pub const INCARNATION_MARK: &str = "daemonlet.dev/incarnation";
