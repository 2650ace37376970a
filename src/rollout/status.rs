//! The DaemonSet's status as this node sees it: a fleet of one, so every count is 0 or 1.
//!
//! `updateDaemonSetStatus` in `pkg/controller/daemon/daemon_controller.go`. "The pod" of a count is the oldest that the DaemonSet
//! has here, terminating ones included.

use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSetStatus;

use super::decide::{Generation, PodFacts, is_available};
use crate::placement::Verdict;

/// Derives the status from the placement verdict and the pods that are here.
pub fn derive(
    observed_generation: i64,
    min_ready: Duration,
    verdict: &Verdict,
    pods: &[PodFacts],
) -> DaemonSetStatus {
    let pod = pods.iter().min_by_key(|pod| pod.order);
    let wanted = verdict.should_run;
    let count = |holds: bool| i32::from(wanted && holds);
    let available = count(pod.is_some_and(|pod| is_available(pod, min_ready)));
    DaemonSetStatus {
        desired_number_scheduled: i32::from(wanted),
        current_number_scheduled: count(pod.is_some()),
        number_misscheduled: i32::from(!wanted && pod.is_some()),
        number_ready: count(pod.is_some_and(|pod| pod.ready_for.is_some())),
        number_available: Some(available).filter(|count| *count > 0),
        number_unavailable: Some(i32::from(wanted) - available).filter(|count| *count > 0),
        updated_number_scheduled: Some(count(pod.is_some_and(|pod| pod.generation == Generation::Current)))
            .filter(|count| *count > 0),
        observed_generation: Some(observed_generation),
        collision_count: None,
        conditions: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::identity::PodUid;
    use crate::rollout::decide::Life;

    fn verdict(should_run: bool) -> Verdict {
        Verdict {
            should_run,
            should_continue_running: true,
            fits_name: true,
            affinity_match: true,
            untolerated_taint: None,
            reasons: Vec::new(),
        }
    }

    fn pod(generation: Generation, ready_for: Option<u64>, order: u64) -> PodFacts {
        PodFacts {
            uid: PodUid::parse("a").expect("a uid"),
            generation,
            ready_for: ready_for.map(Duration::from_secs),
            life: Life::Live,
            order,
        }
    }

    /// desired, current, misscheduled, ready, available, unavailable, up to date
    fn counts(wanted: bool, min_ready: u64, pods: &[PodFacts]) -> [i32; 7] {
        let status = derive(3, Duration::from_secs(min_ready), &verdict(wanted), pods);
        assert_eq!(status.observed_generation, Some(3));
        [
            status.desired_number_scheduled,
            status.current_number_scheduled,
            status.number_misscheduled,
            status.number_ready,
            status.number_available.unwrap_or(0),
            status.number_unavailable.unwrap_or(0),
            status.updated_number_scheduled.unwrap_or(0),
        ]
    }

    #[test]
    fn each_count_follows_the_controllers_definition() {
        use Generation::{Current, Old};
        assert_eq!(counts(false, 0, &[]), [0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(counts(true, 0, &[]), [1, 0, 0, 0, 0, 1, 0]);
        assert_eq!(counts(true, 0, &[pod(Current, None, 0)]), [1, 1, 0, 0, 0, 1, 1]);
        assert_eq!(counts(true, 0, &[pod(Current, Some(0), 0)]), [1, 1, 0, 1, 1, 0, 1]);
        assert_eq!(counts(true, 9, &[pod(Current, Some(9), 0)]), [1, 1, 0, 1, 0, 1, 1]);
        assert_eq!(counts(false, 0, &[pod(Current, Some(1), 0)]), [0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(counts(true, 0, &[pod(Current, None, 1), pod(Old, Some(1), 0)]), [1, 1, 0, 1, 1, 0, 0]);
    }
}
