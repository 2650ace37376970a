//! Pods that have written more than their limits allow (`localStorageEviction` of `pkg/kubelet/eviction/eviction_manager.go`).

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tracing::warn;

use super::walk::{Walk, Walked};
use super::{AT_ONCE, Control, Surroundings, uid};
use crate::eviction::local_storage::{self, Limited};
use crate::eviction::message::Why;
use crate::eviction::rank;
use crate::pod::failure::Fault;

/// A walk over what pods have written is paused for this many times as long as it took…
const REST_PER_WALK: u32 = 5_000;
/// …but no longer than this.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// What a look at the pods' limits came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Limits {
    /// Some pod was evicted: what was measured before is no longer so.
    Evicted,
    /// None was. To be looked at again then, if not before.
    Kept(Option<Duration>),
}

impl<S: Surroundings> Control<S> {
    /// Ends pods that have written more than their limits allow, as far as that is known by now.
    pub(super) async fn look_at_limits(&mut self, pods: &[Arc<Pod>]) -> Limits {
        let limited: Vec<Arc<Pod>> =
            pods.iter().filter(|pod| Limited::of(pod) != Limited::default()).cloned().collect();
        let wanted = limited.iter().map(|pod| Limited::of(pod)).reduce(|one, other| Limited {
            volumes: one.volumes || other.volumes,
            containers: one.containers || other.containers,
        });
        let walked = self.of_limited.take();
        let Some(wanted) = wanted else { return Limits::Kept(None) };
        if let Some(Walked { took, found }) = walked {
            self.limits_due = self.surroundings.now() + rest(took, wanted);
            if found.is_none() {
                warn!("what pods have written is not known; none is held to its limits for now");
            }
            if self.enforce(&limited, &found.unwrap_or_default()).await {
                return Limits::Evicted;
            }
        }
        if self.of_limited.is_begun() {
            return Limits::Kept(None);
        }
        let now = self.surroundings.now();
        if now < self.limits_due {
            return Limits::Kept(Some(self.limits_due.saturating_sub(now)));
        }
        self.of_limited = Walk::begin(self.surroundings.walk(limited, wanted));
        Limits::Kept(None)
    }

    /// Evicts whoever is beyond a limit; says whether anybody was.
    async fn enforce(&mut self, limited: &[Arc<Pod>], disks: &super::Disks) -> bool {
        let layout = self.surroundings.layout();
        let mut gone = Vec::new();
        for pod in limited {
            let excess = disks.get(uid(pod)).and_then(|disk| local_storage::excess(pod, disk, layout));
            let Some(excess) = excess.filter(|_| !rank::is_critical(pod) && self.may_go(pod, AT_ONCE)) else {
                continue;
            };
            let why = Why { message: excess.message, ..Why::default() };
            self.evict(pod, excess.signal, why, (AT_ONCE, Fault::Own)).await;
            gone.push(Arc::clone(pod));
        }
        self.wait_for_clean_up(&gone).await;
        !gone.is_empty()
    }
}

/// How long to leave the disk alone after a walk over it. Containers' layers are asked of the runtime, which is not bothered more than
/// once a minute.
fn rest(took: Duration, wanted: Limited) -> Duration {
    let least = Duration::from_secs(if wanted.containers { 60 } else { 10 });
    took.saturating_mul(REST_PER_WALK).clamp(least, LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_walk_takes_the_rarer_it_is() {
        let volumes = Limited { volumes: true, containers: false };
        let containers = Limited { volumes: true, containers: true };
        for (took, wanted, expected) in [
            (1, volumes, 10),
            (1, containers, 60),
            (10, volumes, 50),
            (30, containers, 150),
            (5_000, volumes, 300),
        ] {
            let expected = Duration::from_secs(expected);
            assert_eq!(rest(Duration::from_millis(took), wanted), expected, "{took} ms");
        }
    }
}
