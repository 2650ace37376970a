//! How long a container is given to stop, and which containers wait for which when a pod ends.
//!
//! The arithmetic of `killContainer` and `terminationOrdering` (`pkg/kubelet/kuberuntime`): a hook's time is taken from the grace period in
//! whole seconds, and so is the wait for others; what is left for the signal is never less than two.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, Probe};

use super::plan::Role;

/// What a container is left with even if its hook has used everything up (`minimumGracePeriodInSeconds`).
pub const MINIMUM: Duration = Duration::from_secs(2);
/// The least a pod that ends is given as a whole.
const POD_MINIMUM: Duration = Duration::from_secs(1);

/// The grace period of a pod that ends: its own, or a shorter one that somebody asked for.
pub fn of_pod(pod: &Pod, asked_for: Option<Duration>) -> Duration {
    let own = own_grace(pod).unwrap_or(MINIMUM);
    asked_for.map_or(own, |asked_for| asked_for.min(own)).max(POD_MINIMUM)
}

/// The grace period of everything in a pod that has another sandbox next: its own, even if that is none.
pub fn of_pod_that_goes_on(pod: &Pod) -> Duration {
    own_grace(pod).unwrap_or(MINIMUM)
}

/// The grace period of one container that is killed while its pod lives, for this probe if it failed.
pub fn of_container(pod: &Pod, probe: Option<&Probe>) -> Duration {
    let of_probe = probe.and_then(|probe| probe.termination_grace_period_seconds).map(seconds);
    of_probe.or_else(|| own_grace(pod)).unwrap_or(MINIMUM)
}

/// What is left after a hook, or after that the wait for others, has taken `spent`: each in whole seconds of its own. The stop signal has
/// at least [`MINIMUM`].
pub fn left(grace: Duration, spent: Duration) -> Duration {
    grace.saturating_sub(Duration::from_secs(spent.as_secs()))
}

/// For each sidecar, the containers that must have ended before it is told to stop: every regular one, and the next sidecar.
/// Containers that wait for nothing are left out.
pub fn stop_order(pod: &Pod) -> BTreeMap<String, Vec<String>> {
    let Some(spec) = &pod.spec else { return BTreeMap::new() };
    let regular: Vec<String> = spec.containers.iter().map(|container| container.name.clone()).collect();
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let sidecars: Vec<&Container> =
        init.iter().filter(|container| Role::of_init(container) == Role::Sidecar).collect();
    let mut order = BTreeMap::new();
    for (index, sidecar) in sidecars.iter().enumerate() {
        let mut before = regular.clone();
        before.extend(sidecars.get(index + 1).map(|next| next.name.clone()));
        order.insert(sidecar.name.clone(), before);
    }
    order
}

fn own_grace(pod: &Pod) -> Option<Duration> {
    let of_deletion = pod.metadata.deletion_grace_period_seconds;
    let of_spec = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    of_deletion.or(of_spec).map(seconds)
}

/// A negative number of seconds is turned into one (`pkg/apis/core/v1/defaults.go`).
fn seconds(number: i64) -> Duration {
    u64::try_from(number).map_or(POD_MINIMUM, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": spec})).expect("a pod")
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_pod_has_its_own_grace_period_or_a_shorter_one() {
        for (own, asked_for, expected) in [
            (30, None, 30),
            (30, Some(5), 5),
            (30, Some(60), 30),
            (0, None, 1),
            (-7, None, 1),
            (30, Some(0), 1),
        ] {
            let pod = pod(json!({"containers": [], "terminationGracePeriodSeconds": own}));
            assert_eq!(of_pod(&pod, asked_for.map(s)), s(expected), "{own} {asked_for:?}");
        }
        assert_eq!(of_pod(&pod(json!({"containers": []})), None), s(2));
    }

    #[test]
    fn a_probe_may_shorten_the_grace_period_of_the_kill_it_causes() {
        let pod = pod(json!({"terminationGracePeriodSeconds": 30, "containers": [
            {"name": "c", "livenessProbe": {"terminationGracePeriodSeconds": 3}, "startupProbe": {}}]}));
        let container = &pod.spec.as_ref().expect("a spec").containers[0];
        assert_eq!(of_container(&pod, container.liveness_probe.as_ref()), s(3));
        assert_eq!(of_container(&pod, container.startup_probe.as_ref()), s(30));
        assert_eq!(of_container(&pod, None), s(30));
    }

    #[test]
    fn a_hook_takes_whole_seconds() {
        assert_eq!(left(s(30), Duration::from_millis(4_900)), s(26));
        assert_eq!(left(s(30), s(29)), s(1));
        assert_eq!(left(s(5), s(9)), s(0));
    }

    #[test]
    fn sidecars_stop_last_and_in_reverse() {
        let pod = pod(json!({
            "initContainers": [{"name": "i"}, {"name": "a", "restartPolicy": "Always"}, {"name": "b", "restartPolicy": "Always"}],
            "containers": [{"name": "m"}, {"name": "n"}]}));
        let order = stop_order(&pod);
        assert_eq!(order.len(), 2);
        assert_eq!(order["b"], ["m", "n"]);
        assert_eq!(order["a"], ["m", "n", "b"]);
    }
}
