//! What is told of each DaemonSet while the agent stands by: its counts, and what has become of it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;

use super::pods::ready_since;
use crate::agent::reconcile::key_of;
use crate::kubelet::standing_back::{Stage, Start, SteppedBack};
use crate::manifest::DaemonSetKey;
use crate::node;
use crate::placement::{self, Verdict};
use crate::pod::identity::PodUid;
use crate::rollout::conditions::{Circumstance, conditions};
use crate::rollout::decide::{Generation, Life, PodFacts, min_ready};
use crate::rollout::ledger::Entry;
use crate::rollout::status;

/// A DaemonSet of the store as it is shown, and why it runs here or does not.
pub(super) fn shown(
    daemon_set: &DaemonSet,
    entry: Option<&Entry>,
    note: &SteppedBack,
    on: &Node,
    pods: &BTreeMap<DaemonSetKey, Vec<Pod>>,
    now: Timestamp,
) -> (DaemonSet, Verdict) {
    let key = key_of(daemon_set);
    let mut verdict = placement::decide(on, daemon_set);
    if node::is_drained(on) {
        verdict = verdict.drained();
    }
    let here = pods.get(&key).map(Vec::as_slice).unwrap_or_default();
    let facts: Vec<PodFacts> = here.iter().filter_map(|pod| facts(pod, now)).collect();
    let generation = entry.map_or(1, |entry| entry.generation);
    let mut status = status::derive(generation, min_ready(daemon_set), &verdict, &facts);
    if verdict.should_run || !facts.is_empty() {
        let (circumstance, since) = become_of(&key, note);
        status.conditions = conditions(&[circumstance], &[], since);
    }
    let mut shown = daemon_set.clone();
    shown.metadata.uid = entry.map(Entry::uid);
    shown.metadata.generation = Some(generation);
    shown.metadata.creation_timestamp = entry.map(Entry::creation_timestamp);
    shown.status = Some(status);
    (shown, verdict)
}

/// What has become of a DaemonSet, and since when.
pub(super) fn become_of(key: &DaemonSetKey, note: &SteppedBack) -> (Circumstance, Timestamp) {
    if let Some(written) = note.written.iter().find(|written| written.daemon_set == *key) {
        let started = match written.start {
            Start::NotAwaited => String::new(),
            Start::Awaited => "; the kubelet has not started it yet".to_owned(),
            Start::Seen { at } => format!("; the kubelet has started it by {at:.0}"),
        };
        let at = written.at.unwrap_or(note.since);
        let message = format!("it is the kubelet's static pod {}{started}", written.path.display());
        return (Circumstance::HandedOver(message), at);
    }
    if let Some((_, reasons)) = note.refused.iter().find(|(refused, _)| refused == key) {
        let message =
            format!("it could not be handed over, and nobody looks after it: {}", reasons.join("; "));
        return (Circumstance::NotHandedOver(message), note.since);
    }
    let left = match (note.stage, &note.pending) {
        (_, Some(pending)) if pending.daemon_set == *key => {
            Circumstance::LeftAlone("it is being handed over: its pod ends".to_owned())
        }
        (Stage::Yielded, _) => Circumstance::LeftAlone("it is left to the kubelet, and nobody looks after it".to_owned()),
        (Stage::HandingOver, _) => Circumstance::LeftAlone(
            "it is handed over once the kubelet has started what was handed over before; until then nobody looks after it".to_owned(),
        ),
        (Stage::HandedOver, _) => Circumstance::NotHandedOver(
            "it came when all others had been handed over: stop the agent and run `daemonlet handover`".to_owned(),
        ),
    };
    (left, note.since)
}

fn facts(pod: &Pod, now: Timestamp) -> Option<PodFacts> {
    let ready_for =
        ready_since(pod).map(|since| Duration::try_from(now.duration_since(since)).unwrap_or_default());
    let created = pod.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    Some(PodFacts {
        uid: PodUid::parse(pod.metadata.uid.as_deref()?)?,
        generation: Generation::Current,
        ready_for,
        life: Life::Live,
        order: u64::try_from(created).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubelet::standing_back::{Pending, Written};

    fn key(name: &str) -> DaemonSetKey {
        DaemonSetKey { namespace: "a".into(), name: name.into() }
    }

    fn note(stage: Stage) -> SteppedBack {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut note = SteppedBack::new(stage, at(10), "a kubelet".into(), "/pods".into());
        let starts = [Start::NotAwaited, Start::Awaited, Start::Seen { at: at(30) }];
        for (name, start) in ["plain", "awaited", "started"].into_iter().zip(starts) {
            note.written.push(Written {
                daemon_set: key(name),
                path: format!("/pods/{name}.yaml").into(),
                sha256: String::new(),
                at: Some(at(20)),
                start,
            });
        }
        note.refused.push((key("needy"), vec!["spec.x: needs y".into()]));
        note
    }

    fn condition(name: &str, note: &SteppedBack) -> String {
        let (circumstance, since) = become_of(&key(name), note);
        let all = conditions(&[circumstance], &[], since).unwrap();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{} {} {}: {}", since.as_second(), all[0].type_, text(&all[0].reason), text(&all[0].message))
    }

    #[test]
    fn each_daemon_set_says_what_has_become_of_it() {
        let mut going = note(Stage::HandingOver);
        let rows = [
            ("plain", "20 HandedOver StaticPod: it is the kubelet's static pod /pods/plain.yaml"),
            (
                "awaited",
                "20 HandedOver StaticPod: it is the kubelet's static pod /pods/awaited.yaml; the kubelet has not started it yet",
            ),
            (
                "started",
                "20 HandedOver StaticPod: it is the kubelet's static pod /pods/started.yaml; the kubelet has started it by 1970-01-01T00:00:30Z",
            ),
            (
                "needy",
                "10 StandingBy NotHandedOver: it could not be handed over, and nobody looks after it: spec.x: needs y",
            ),
        ];
        for (name, expected) in rows {
            assert_eq!(condition(name, &going), expected);
        }
        assert!(condition("next", &going).contains("once the kubelet has started"));
        let pending = |name| Pending {
            daemon_set: key(name),
            path: "/x".into(),
            text: String::new(),
            start: Start::Awaited,
        };
        going.pending = Some(pending("next"));
        assert!(condition("next", &going).contains("its pod ends"));
        assert!(condition("new", &note(Stage::HandedOver)).contains("run `daemonlet handover`"));
        assert!(condition("any", &note(Stage::Yielded)).contains("left to the kubelet"));
    }

    #[test]
    fn its_counts_are_those_of_the_pods_that_are_seen() {
        let daemon_set = |name: &str, selector: serde_json::Value| -> DaemonSet {
            serde_json::from_value(json!({
                "metadata": {"namespace": "a", "name": name},
                "spec": {"selector": {}, "template": {"spec": {"containers": [], "nodeSelector": selector}}},
            }))
            .unwrap()
        };
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "plain-n", "namespace": "a", "uid": "u"},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }))
        .unwrap();
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
        let pods = BTreeMap::from([(key("plain"), vec![pod])]);
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let counts = |name: &str, selector| {
            let (shown, _) =
                shown(&daemon_set(name, selector), None, &note(Stage::HandedOver), &node, &pods, now);
            let status = shown.status.unwrap();
            let conditions = status.conditions.map_or(0, |conditions| conditions.len());
            (
                status.desired_number_scheduled,
                status.current_number_scheduled,
                status.number_ready,
                conditions,
            )
        };
        assert_eq!(counts("plain", json!({})), (1, 1, 1, 1));
        assert_eq!(counts("awaited", json!({})), (1, 0, 0, 1));
        assert_eq!(
            counts("elsewhere", json!({"disk": "none"})),
            (0, 0, 0, 0),
            "of it there is nothing to say"
        );
    }
}
