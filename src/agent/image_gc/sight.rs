//! By what it shows that containers have come or gone, without asking the runtime.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

/// What others than this agent do with images shows nowhere: they are noted this often all the same.
const AT_LEAST_EVERY: Duration = Duration::from_secs(3600);

/// The containers that the board showed when images were noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    containers: u64,
    at: Duration,
}

impl Sight {
    pub(super) fn of(pods: &[Arc<Pod>], now: Duration) -> Self {
        Self { containers: fingerprint(pods), at: now }
    }

    /// Whether there are other containers now, or it is long ago.
    pub(super) fn differs(&self, pods: &[Arc<Pod>], now: Duration) -> bool {
        now.saturating_sub(self.at) >= AT_LEAST_EVERY || fingerprint(pods) != self.containers
    }
}

fn fingerprint(pods: &[Arc<Pod>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for status in pods.iter().filter_map(|pod| pod.status.as_ref()) {
        let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        for container in all {
            (&container.container_id, &container.image_id).hash(&mut hasher);
        }
    }
    hasher.finish()
}
