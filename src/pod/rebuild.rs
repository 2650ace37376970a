//! A pod that the runtime has and the disk has not: rebuilt from what the kubelet's labels and annotations remember, to be stopped.
//!
//! Its record was lost (a restored disk, a file that can't be read), so what it should be is no longer known; but how to end it properly is:
//! its grace period and its preStop hooks are on its containers (`pkg/kubelet/kuberuntime/labels.go`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerPort, Lifecycle, LifecycleHandler, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;

use super::identity::{Incarnation, PodUid};
use super::record::{EndingNote, PodRecord};
use super::worker::Listed;
use super::{DAEMON_SET_MARK, INCARNATION_MARK, REVISION_MARK};
use crate::cri::proto;
use crate::manifest::DaemonSetKey;
use crate::rollout::RevisionHash;

/// A record of a pod that is only to be stopped; `None` if it names no pod.
pub fn record_of(uid: &PodUid, listed: &Listed, now: Timestamp) -> Option<PodRecord> {
    let labels = listed.sandboxes.iter().map(|sandbox| &sandbox.labels);
    let labels = labels.chain(listed.containers.iter().map(|container| &container.labels)).next()?;
    let label = |key: &str| labels.get(key).cloned();
    let namespace = label("io.kubernetes.pod.namespace")?;
    let mut containers: BTreeMap<&str, Container> = BTreeMap::new();
    for container in &listed.containers {
        let rebuilt = rebuild(container);
        containers.insert(container.metadata.as_ref().map_or("", |metadata| metadata.name.as_str()), rebuilt);
    }
    let grace = listed.containers.iter().find_map(|container| {
        container.annotations.get("io.kubernetes.pod.terminationGracePeriod")?.parse().ok()
    });
    let pod = Pod {
        metadata: ObjectMeta {
            name: label("io.kubernetes.pod.name"),
            namespace: Some(namespace.clone()),
            uid: Some(uid.to_string()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: containers.into_values().collect(),
            termination_grace_period_seconds: grace,
            ..PodSpec::default()
        }),
        status: None,
    };
    let daemon_set = DaemonSetKey { namespace, name: label(DAEMON_SET_MARK).unwrap_or_default() };
    let revision = (RevisionHash::from_label(&label(REVISION_MARK).unwrap_or_default()), 0);
    let incarnation = label(INCARNATION_MARK).and_then(|number| number.parse().ok()).unwrap_or(0);
    let mut record = PodRecord::new(uid.clone(), daemon_set, revision, Incarnation(incarnation), now, pod);
    record.ending = Some(EndingNote {
        reason: "nothing is on record about the pod".to_owned(),
        at: now,
        disruption: None,
    });
    Some(record)
}

fn rebuild(container: &proto::Container) -> Container {
    let json = |key: &str| container.annotations.get(key).map_or("null", String::as_str);
    let pre_stop: Option<LifecycleHandler> =
        serde_json::from_str(json("io.kubernetes.container.preStopHandler")).unwrap_or_default();
    let ports: Option<Vec<ContainerPort>> =
        serde_json::from_str(json("io.kubernetes.container.ports")).unwrap_or_default();
    Container {
        name: container.metadata.as_ref().map(|metadata| metadata.name.clone()).unwrap_or_default(),
        lifecycle: pre_stop.map(|pre_stop| Lifecycle { pre_stop: Some(pre_stop), ..Lifecycle::default() }),
        ports,
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn grace_period_and_hook_come_from_the_annotations() {
        let uid = PodUid::parse("u-1").expect("a uid");
        let labels = map(&[
            ("io.kubernetes.pod.name", "p"),
            ("io.kubernetes.pod.namespace", "ns"),
            ("daemonlet.dev/daemonset", "ds"),
            ("daemonlet.dev/incarnation", "7"),
        ]);
        let container = proto::Container {
            metadata: Some(proto::ContainerMetadata { name: "c".into(), attempt: 0 }),
            annotations: map(&[
                ("io.kubernetes.pod.terminationGracePeriod", "7"),
                ("io.kubernetes.container.preStopHandler", r#"{"exec":{"command":["bye"]}}"#),
            ]),
            labels,
            ..Default::default()
        };
        let listed = Listed { sandboxes: Vec::new(), containers: vec![container] };
        let record = record_of(&uid, &listed, Timestamp::UNIX_EPOCH).expect("a record");
        let spec = record.pod.spec.as_ref().expect("a spec");
        assert_eq!(spec.termination_grace_period_seconds, Some(7));
        assert!(spec.containers[0].lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some()));
        assert!(record.ending.is_some());
        // It counts as its DaemonSet's: no successor starts beside it, and none gets its incarnation.
        assert_eq!((record.daemon_set.to_string(), record.incarnation), ("ns/ds".to_owned(), Incarnation(7)));
    }

    #[test]
    fn what_names_no_pod_is_left_alone() {
        let uid = PodUid::parse("u-1").expect("a uid");
        assert!(record_of(&uid, &Listed::default(), Timestamp::UNIX_EPOCH).is_none());
    }
}
