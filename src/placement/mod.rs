//! Does this DaemonSet belong on this node? The DaemonSet controller's own two answers, with the reasons in words.
//!
//! Pure: a Node and a DaemonSet in, a [`Verdict`] out. Rules: `NodeShouldRunDaemonPod` in Kubernetes'
//! `pkg/controller/daemon/daemon_controller.go`, and the node affinity helpers of `component-helpers`.

mod verdict;

pub use verdict::{Reason, UntoleratedTaint, Verdict};
