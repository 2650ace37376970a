//! What is to be handed over: the pods on record, and the DaemonSets of this node that have none yet.
//!
//! Only reads. A DaemonSet without a pod waits for room, for its images or for an agent; the kubelet decides for itself whether it has room. What
//! the policy forbids is not handed over: a file in the kubelet's folder would get round it.

use std::path::Path;

use k8s_openapi::api::apps::v1::DaemonSet;
use tracing::warn;

use super::super::AgentError;
use super::super::derived::store_settings;
use super::super::offline::{self, OfflineNode};
use super::super::reconcile::key_of;
use crate::config::Settings;
use crate::kubelet::static_pod::{self, StaticPod};
use crate::manifest::{DaemonSetKey, Object, Objects};
use crate::node;
use crate::placement;
use crate::pod::priority;
use crate::pod::record::{PodRecord, RecordError, Records};
use crate::policy::Policy;
use crate::state_dir::StateEntry;
use crate::store;

/// What there is of a DaemonSet on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footing {
    /// A pod.
    Pod,
    /// None yet.
    Nothing,
}

/// What becomes of one DaemonSet.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which.
    pub daemon_set: DaemonSetKey,
    /// The file's name.
    pub file: String,
    /// What there is of it.
    pub footing: Footing,
    /// The pod, or every reason why there can be none.
    pub pod: Result<StaticPod, Vec<String>>,
}

/// What would be handed over: pods first, the least important of them at the head; then what has no pod, the most important at the head.
///
/// # Errors
/// When the records can't be listed, or nothing can be known of this machine.
pub async fn plan(settings: &Settings) -> Result<Vec<Step>, AgentError> {
    let dir = StateEntry::Records.below(&settings.root_dir);
    let mut steps = if dir.exists() { of_records(load(&dir)?) } else { Vec::new() };
    let objects = store::glance(store_settings(settings)).await.objects;
    let on = offline::this_machine(settings, &objects)?;
    steps.extend(of_store(&objects, &on, &settings.policy, &steps));
    Ok(steps)
}

fn load(dir: &Path) -> Result<Vec<PodRecord>, RecordError> {
    Ok(Records::open(dir)?.load()?.0)
}

/// One step a DaemonSet, made of its newest pod; of one that was told to end only if there is no other.
fn of_records(mut records: Vec<PodRecord>) -> Vec<Step> {
    records.sort_by_cached_key(|record| {
        (priority::start_order(record), record.ending.is_none(), record.incarnation)
    });
    records.reverse();
    let mut steps: Vec<Step> = Vec::new();
    for record in &records {
        if steps.iter().all(|step| step.daemon_set != record.daemon_set) {
            steps.push(Step {
                daemon_set: record.daemon_set.clone(),
                file: static_pod::file_name(&record.daemon_set),
                footing: Footing::Pod,
                pod: static_pod::of(&record.pod, &record.daemon_set),
            });
        }
    }
    steps
}

/// The DaemonSets that should run here and are not among those with a pod.
fn of_store(objects: &Objects, on: &OfflineNode, policy: &Policy, with_pods: &[Step]) -> Vec<Step> {
    let daemon_sets = objects.0.values().filter_map(|stored| match &stored.object {
        Object::DaemonSet(daemon_set) => Some(daemon_set.as_ref()),
        _ => None,
    });
    let mut steps: Vec<(i32, Step)> = daemon_sets
        .filter_map(|daemon_set| {
            let key = key_of(daemon_set);
            let is_known = with_pods.iter().any(|step| step.daemon_set == key);
            let is_wanted = placement::decide(&on.node, daemon_set).should_run && !node::is_drained(&on.node);
            (is_wanted && !is_known).then(|| without_pod(key, daemon_set, on, objects, policy))
        })
        .collect();
    steps.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    steps.into_iter().map(|(_, step)| step).collect()
}

fn without_pod(
    key: DaemonSetKey,
    daemon_set: &DaemonSet,
    on: &OfflineNode,
    objects: &Objects,
    policy: &Policy,
) -> (i32, Step) {
    let made = on.first_pod(daemon_set, objects).map_err(|problem| vec![problem.to_string()]);
    let priority = made.as_ref().ok().and_then(|made| made.pod.spec.as_ref()?.priority).unwrap_or_default();
    let pod = made.and_then(|made| {
        let name = made.pod.metadata.name.as_deref().unwrap_or_default();
        match policy.judge(daemon_set, objects).forbids(name) {
            Some(forbidden) => Err(vec![format!("the policy forbids the pod: {forbidden}")]),
            None => static_pod::of(&made.pod, &key),
        }
    });
    let pod = pod.map(|mut made| {
        made.notes.insert(
            0,
            "it has no pod here yet: the kubelet decides for itself whether there is room".to_owned(),
        );
        made
    });
    if let Err(reasons) = &pod {
        warn!(daemonset = %key, ?reasons, "has no pod here, and cannot be handed over");
    }
    (priority, Step { file: static_pod::file_name(&key), daemon_set: key, footing: Footing::Nothing, pod })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::config;
    use crate::manifest::{Origin, Stored};
    use crate::pod::identity::{Incarnation, PodUid};
    use crate::pod::record::EndingNote;
    use crate::rollout::RevisionHash;

    fn record(name: &str, incarnation: u64, priority: i32, more: &Value) -> PodRecord {
        let mut spec = json!({"priority": priority, "containers": [{"name": "main", "image": "a:1"}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        PodRecord::new(
            PodUid::parse(&format!("{name}-{incarnation}")).unwrap(),
            DaemonSetKey { namespace: "a".into(), name: name.into() },
            (RevisionHash::from_label("r"), 1),
            Incarnation(incarnation),
            Timestamp::UNIX_EPOCH,
            pod,
        )
    }

    fn names(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|step| step.daemon_set.name.as_str()).collect()
    }

    #[test]
    fn the_least_important_go_first_and_of_each_daemon_set_its_newest_pod_that_stays() {
        let nothing = json!({});
        let ended = |mut record: PodRecord| {
            record.ending =
                Some(EndingNote { reason: "why".into(), at: Timestamp::UNIX_EPOCH, disruption: None });
            record
        };
        let records = vec![
            record("proxy", 1, 2_000_001_000, &nothing),
            record("web", 2, 0, &json!({"hostNetwork": false})),
            record("web", 3, 0, &json!({"hostNetwork": true})),
            ended(record("web", 4, 0, &nothing)),
            ended(record("replaced", 4, 1, &nothing)),
            record("needy", 1, 5, &json!({"imagePullSecrets": [{"name": "s"}]})),
        ];
        let steps = of_records(records);
        assert_eq!(names(&steps), ["web", "replaced", "needy", "proxy"]);
        let web = steps[0].pod.as_ref().unwrap().pod.spec.as_ref().unwrap();
        assert_eq!(web.host_network, Some(true), "the newer of the two");
        assert!(steps[1].pod.is_ok() && steps[2].pod.is_err() && steps[3].pod.is_ok());
        assert_eq!(steps[0].file, "daemonlet_a_web.yaml");
    }

    #[test]
    fn what_has_no_pod_is_handed_over_if_it_should_run_here_and_may() {
        let stored = |name: &str, spec: Value| {
            let object: DaemonSet = serde_json::from_value(json!({
                "metadata": {"namespace": "a", "name": name},
                "spec": {"selector": {}, "template": {"metadata": {"labels": {"app": name}}, "spec": spec}},
            }))
            .unwrap();
            let origin = Origin { file: Arc::from(Path::new("/x.yaml")), line: 1 };
            let stored = Stored { origin, object: Object::DaemonSet(Box::new(object)) };
            (stored.object.key(), Arc::new(stored))
        };
        let main = json!([{"name": "main", "image": "docker.io/a:1"}]);
        let objects = Objects(
            [
                stored("light", json!({"containers": main})),
                stored("heavy", json!({"containers": main, "priorityClassName": "system-node-critical"})),
                stored("here", json!({"containers": main})),
                stored("elsewhere", json!({"containers": main, "nodeSelector": {"disk": "none"}})),
                stored("classless", json!({"containers": main, "priorityClassName": "nobodys"})),
                stored("forbidden", json!({"containers": [{"name": "main", "image": "evil.example/a:1"}]})),
            ]
            .into(),
        );
        let root = tempfile::tempdir().unwrap();
        let flag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let flags =
            vec![flag("allowedImageRegistries", "docker.io"), flag("rootDir", root.path().to_str().unwrap())];
        let sources =
            config::Sources { file: root.path().join("none.yaml"), flags, ..config::Sources::default() };
        let settings = config::load(&sources).unwrap().settings;
        let on = offline::this_machine(&settings, &objects).unwrap();
        let here = of_records(vec![record("here", 1, 0, &json!({}))]);
        let steps = of_store(&objects, &on, &settings.policy, &here);
        assert_eq!(names(&steps), ["heavy", "classless", "forbidden", "light"]);
        let said = |index: usize| format!("{:?}", steps[index].pod.as_ref().unwrap_err());
        assert!(said(1).contains("nobodys"), "{}", said(1));
        assert!(
            said(2).contains("the policy forbids the pod") && said(2).contains("evil.example"),
            "{}",
            said(2)
        );
        let heavy = steps[0].pod.as_ref().unwrap();
        assert_eq!(heavy.pod.metadata.name.as_deref(), Some("heavy"));
        assert_eq!(heavy.pod.spec.as_ref().unwrap().priority, Some(2_000_001_000));
        assert!(heavy.notes[0].contains("no pod here yet"), "{:?}", heavy.notes);
    }
}
