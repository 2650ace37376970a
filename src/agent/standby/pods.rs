//! The pods that are seen, as the API shows them. Pure.
//!
//! Their states are the runtime's. Nobody here asks their probes: of a container that has a readiness probe nothing is claimed but that it runs, and
//! the pod's Ready condition is Unknown.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod, PodCondition, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use super::seen::{Maker, SeenPod};
use crate::cri::ContainerId;
use crate::cri::translate::QosClass;
use crate::cri::translate::pod_ips::pod_ips;
use crate::pod::observed::SandboxState;
use crate::pod::status::{self, Ending, ProbeStates, SandboxNeed};

/// What this node's pods have in common.
pub(super) struct Surroundings<'a> {
    pub(super) node_name: &'a str,
    pub(super) host_ips: &'a [IpAddr],
    pub(super) now: Timestamp,
}

/// A pod with its status. `known` is what it was made of, where that is known; `shown` is how it was shown before.
pub(super) fn shown(
    seen: &SeenPod,
    known: Option<&Pod>,
    shown: Option<&Pod>,
    around: &Surroundings<'_>,
) -> Pod {
    let mut pod = match (seen.maker, known) {
        (Maker::Daemonlet, Some(known)) => known.clone(),
        (_, known) => Pod { metadata: metadata(seen), spec: Some(spec(seen, known)), status: None },
    };
    let spec = pod.spec.get_or_insert_default();
    spec.node_name = Some(around.node_name.to_owned());
    let qos = QosClass::of_spec(spec).as_str();
    let probes = Unasked(spec.clone());
    let is_probed = spec.containers.iter().any(|container| container.readiness_probe.is_some());
    let is_usable = seen.observed.sandbox().is_some_and(|sandbox| sandbox.state == SandboxState::Ready);
    let previous = shown.and_then(|shown| shown.status.as_ref()?.conditions.clone()).unwrap_or_default();
    let is_there = !seen.observed.sandboxes.is_empty();
    let pod_ips = if is_there { pod_ips(&pod, seen.observed.pod_ips(), around.host_ips) } else { Vec::new() };
    let mut status = status::derive(status::Inputs {
        pod: &pod,
        observed: &seen.observed,
        probes: &probes,
        waiting: &BTreeMap::new(),
        vanished: &BTreeMap::new(),
        sandbox: if is_usable { SandboxNeed::Usable } else { SandboxNeed::Missing },
        ending: Ending::No,
        failure: None,
        disruption: None,
        qos_class: qos,
        previous: &previous,
        recursive_read_only: None,
        host_ips: around.host_ips,
        pod_ips: &pod_ips,
        start_time: created(seen),
        now: around.now,
    });
    if is_probed && seen.observed.running().next().is_some() {
        for condition in status.conditions.iter_mut().flatten() {
            doubt(condition, seen.maker, &previous, around.now);
        }
    }
    pod.status = Some(status);
    pod
}

/// Whether a pod that is shown is ready, and since when.
pub(super) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready =
        conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    Some(ready.last_transition_time.as_ref()?.0)
}

/// When the runtime made the pod's newest sandbox, by its clock.
pub(super) fn created(seen: &SeenPod) -> Timestamp {
    Timestamp::from_second(seen.sandbox.created_at / 1_000_000_000).unwrap_or_default()
}

fn doubt(condition: &mut PodCondition, maker: Maker, previous: &[PodCondition], now: Timestamp) {
    if !matches!(condition.type_.as_str(), "Ready" | "ContainersReady") {
        return;
    }
    let before = previous.iter().find(|it| it.type_ == condition.type_ && it.status == "Unknown");
    condition.last_transition_time =
        before.map_or(Some(Time(now)), |before| before.last_transition_time.clone());
    "Unknown".clone_into(&mut condition.status);
    let (reason, message) = match maker {
        Maker::Kubelet => ("ProbedByKubelet", "only the kubelet knows what the readiness probes say"),
        Maker::Daemonlet => ("NotProbed", "nobody asks the readiness probes while daemonlet stands by"),
    };
    (condition.reason, condition.message) = (Some(reason.to_owned()), Some(message.to_owned()));
}

fn metadata(seen: &SeenPod) -> ObjectMeta {
    let of_runtime = |key: &str| key.starts_with("io.kubernetes.") || key.starts_with("daemonlet.dev/");
    let labels = seen.sandbox.labels.iter().filter(|(key, _)| !of_runtime(key));
    let names = seen.sandbox.metadata.clone().unwrap_or_default();
    ObjectMeta {
        name: Some(names.name),
        namespace: Some(names.namespace),
        uid: Some(names.uid),
        creation_timestamp: Some(Time(created(seen))),
        labels: Some(labels.map(|(key, value)| (key.clone(), value.clone())).collect()),
        annotations: Some(seen.sandbox.annotations.clone()),
        ..ObjectMeta::default()
    }
}

/// What the pod was made of; where that is not known, its containers are those that are there.
fn spec(seen: &SeenPod, known: Option<&Pod>) -> PodSpec {
    if let Some(spec) = known.and_then(|known| known.spec.clone()) {
        return spec;
    }
    let containers: BTreeMap<&str, Container> = (seen.observed.containers.iter().rev())
        .map(|it| {
            let container =
                Container { name: it.name.clone(), image: Some(it.image.clone()), ..Container::default() };
            (it.name.as_str(), container)
        })
        .collect();
    PodSpec { containers: containers.into_values().collect(), ..PodSpec::default() }
}

/// Probes that nobody asks.
struct Unasked(PodSpec);

impl Unasked {
    fn container(&self, name: &str) -> Option<&Container> {
        let init = self.0.init_containers.iter().flatten();
        init.chain(&self.0.containers).find(|container| container.name == name)
    }
}

impl ProbeStates for Unasked {
    fn is_started(&self, name: &str, _: &ContainerId) -> bool {
        self.container(name).is_none_or(|container| container.startup_probe.is_none())
    }

    fn is_ready(&self, name: &str, _: &ContainerId) -> bool {
        self.container(name).is_none_or(|container| container.readiness_probe.is_none())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cri::proto::{PodSandbox, PodSandboxMetadata};
    use crate::manifest::DaemonSetKey;
    use crate::pod::observed::{self, ContainerState, Network, Observed, Sandbox};

    fn seen(maker: Maker, state: ContainerState) -> SeenPod {
        let names =
            PodSandboxMetadata { name: "web-n1".into(), uid: "u".into(), namespace: "a".into(), attempt: 0 };
        let labels = [("app", "web"), ("io.kubernetes.pod.uid", "u"), ("daemonlet.dev/node", "n1")];
        let sandbox = PodSandbox {
            id: "s".into(),
            metadata: Some(names),
            created_at: 60_000_000_000,
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..PodSandbox::default()
        };
        let observed = Observed {
            sandboxes: vec![Sandbox {
                id: "s".into(),
                attempt: 0,
                state: SandboxState::Ready,
                network: Network::Pod,
                ips: vec!["10.0.0.9".parse().unwrap()],
                created_at: 1,
            }],
            containers: vec![observed::Container {
                id: "c".into(),
                sandbox: "s".into(),
                name: "main".into(),
                attempt: 2,
                state,
                hash: None,
                restart_delay: std::time::Duration::ZERO,
                image: "a:1".into(),
                image_ref: "a@1".into(),
                created_at: 1,
            }],
        };
        SeenPod {
            daemon_set: DaemonSetKey { namespace: "a".into(), name: "web".into() },
            maker,
            sandbox,
            observed,
        }
    }

    fn show(seen: &SeenPod, spec: Option<Value>, before: Option<&Pod>, second: i64) -> Pod {
        let known = spec.map(|spec| {
            serde_json::from_value::<Pod>(json!({"metadata": {"name": "web-x"}, "spec": spec})).unwrap()
        });
        let now = Timestamp::from_second(second).unwrap();
        shown(seen, known.as_ref(), before, &Surroundings { node_name: "n1", host_ips: &[], now })
    }

    fn ready(pod: &Pod) -> (String, i64) {
        let conditions = pod.status.as_ref().unwrap().conditions.clone().unwrap();
        let ready = conditions.into_iter().find(|it| it.type_ == "Ready").unwrap();
        (ready.status, ready.last_transition_time.unwrap().0.as_second())
    }

    fn runs() -> ContainerState {
        ContainerState::Running { started_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_pod_of_the_kubelets_has_its_name_and_the_files_spec_and_the_runtimes_state() {
        let plain = json!({"containers": [{"name": "main", "image": "a:1"}], "hostname": "kept"});
        let pod = show(&seen(Maker::Kubelet, runs()), Some(plain), None, 100);
        assert_eq!(pod.metadata.name.as_deref(), Some("web-n1"));
        assert_eq!(pod.metadata.labels.as_ref().unwrap().keys().collect::<Vec<_>>(), ["app"]);
        assert_eq!(pod.spec.as_ref().unwrap().hostname.as_deref(), Some("kept"));
        let status = pod.status.as_ref().unwrap();
        assert_eq!((status.phase.as_deref(), status.pod_ip.as_deref()), (Some("Running"), Some("10.0.0.9")));
        assert_eq!(status.container_statuses.as_ref().unwrap()[0].restart_count, 2);
        assert_eq!(ready(&pod), ("True".into(), 100));
        assert_eq!(ready_since(&pod).map(Timestamp::as_second), Some(100));
    }

    #[test]
    fn of_what_only_a_probe_could_say_nothing_is_claimed() {
        let probed = || {
            Some(
                json!({"containers": [{"name": "main", "image": "a:1", "readinessProbe": {"exec": {"command": ["true"]}}}]}),
            )
        };
        let one = seen(Maker::Kubelet, runs());
        let pod = show(&one, probed(), None, 100);
        assert_eq!(ready(&pod), ("Unknown".into(), 100));
        assert_eq!(ready(&show(&one, probed(), Some(&pod), 200)), ("Unknown".into(), 100), "its time stays");
        assert_eq!(ready_since(&pod), None);
        let created = seen(Maker::Kubelet, ContainerState::Created);
        assert_eq!(ready(&show(&created, probed(), Some(&pod), 200)), ("False".into(), 200));
    }

    #[test]
    fn a_pod_of_ours_is_what_its_record_says_and_one_of_unknown_making_what_is_there() {
        let plain = json!({"containers": [{"name": "main", "image": "a:1"}]});
        let ours = show(&seen(Maker::Daemonlet, runs()), Some(plain), None, 100);
        assert_eq!(ours.metadata.name.as_deref(), Some("web-x"));
        let unknown = show(&seen(Maker::Kubelet, runs()), None, None, 100);
        assert_eq!(unknown.spec.unwrap().containers[0].image.as_deref(), Some("a:1"));
    }
}
