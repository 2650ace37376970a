//! Keeps the CPU shares of the Burstable class what its pods ask for together.
//!
//! The reconciler says what they are; here they are written, in a task of its own because systemd may take its time. Only the newest
//! value counts. Rule: `qos_container_manager_linux.go` (`setCPUCgroupConfig`).

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use crate::cgroup::{CgroupManager, Limits};
use crate::error_chain::error_chain;

/// The shares of a class without pods.
pub(super) const FEWEST: u64 = 2;
/// When what failed is tried again, as often as the kubelet does.
const RETRY: Duration = Duration::from_secs(60);

/// Writes the shares whenever they change, until nobody can change them any more.
pub(super) async fn keep(cgroups: CgroupManager, node: Limits, mut asked_for: watch::Receiver<u64>) {
    let mut retry = None;
    loop {
        let changed = match retry {
            None => asked_for.changed().await,
            Some(wait) => timeout(wait, asked_for.changed()).await.unwrap_or(Ok(())),
        };
        if changed.is_err() {
            return;
        }
        let shares = *asked_for.borrow_and_update();
        retry = match cgroups.ensure_qos_hierarchy(&node, shares).await {
            Ok(_) => None,
            Err(problem) => {
                warn!(error = error_chain(&problem), shares, "cannot share the CPU among the pods");
                Some(RETRY)
            }
        };
    }
}
