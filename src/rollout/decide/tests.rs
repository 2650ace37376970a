use super::*;
use crate::placement::Reason;

const RUN: (bool, bool) = (true, true);
const STAY: (bool, bool) = (false, true);
const GONE: (bool, bool) = (false, false);

fn verdict((should_run, should_continue_running): (bool, bool)) -> Verdict {
    Verdict {
        should_run,
        should_continue_running,
        fits_name: true,
        affinity_match: true,
        untolerated_taint: None,
        reasons: Vec::<Reason>::new(),
    }
}

/// `O` old, `C` current; lower case: not ready; a following `!`: ending, `x`: failed.
fn pods(text: &str) -> Vec<PodFacts> {
    let mut pods: Vec<PodFacts> = Vec::new();
    for (order, letter) in text.chars().enumerate() {
        if let Some(life) =
            [('!', Life::Ending), ('x', Life::Failed)].into_iter().find(|(mark, _)| *mark == letter)
        {
            if let Some(last) = pods.last_mut() {
                last.life = life.1;
            }
            continue;
        }
        pods.push(PodFacts {
            uid: PodUid::parse(&format!("pod-{order}")).expect("a uid"),
            generation: if letter.eq_ignore_ascii_case(&'c') { Generation::Current } else { Generation::Old },
            ready_for: letter.is_uppercase().then_some(Duration::from_secs(5)),
            life: Life::Live,
            order: order as u64,
        });
    }
    pods
}

fn steps(strategy: UpdateStrategy, answer: (bool, bool), text: &str, min_ready: u64) -> String {
    steps_at(Turn::Now, strategy, answer, text, min_ready)
}

fn steps_at(
    failed: Turn,
    strategy: UpdateStrategy,
    answer: (bool, bool),
    text: &str,
    min_ready: u64,
) -> String {
    let min_ready = Duration::from_secs(min_ready);
    shown(&decide(strategy, min_ready, &verdict(answer), &pods(text), failed))
}

fn shown(steps: &[Step]) -> String {
    let words: Vec<String> = steps
        .iter()
        .map(|step| match step {
            Step::Start => "start".to_owned(),
            Step::Stop { uid, why } => format!("stop {uid} {why:?}"),
        })
        .collect();
    words.join(", ")
}

#[test]
fn a_daemon_set_says_how_its_pods_are_replaced() {
    let with = |fields: serde_json::Value| -> DaemonSet {
        let mut spec = serde_json::json!({"selector": {}, "template": {}});
        spec.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        serde_json::from_value(serde_json::json!({"metadata": {}, "spec": spec})).expect("a DaemonSet")
    };
    for (strategy, expected) in [
        (serde_json::json!({"type": "OnDelete"}), UpdateStrategy::OnDelete),
        (serde_json::json!({"rollingUpdate": {"maxUnavailable": 5, "maxSurge": 0}}), UpdateStrategy::Replace),
        (serde_json::json!({"rollingUpdate": {"maxUnavailable": "1%"}}), UpdateStrategy::Replace),
        (serde_json::json!({"rollingUpdate": {"maxSurge": 2}}), UpdateStrategy::Surge),
        (serde_json::json!({"rollingUpdate": {"maxSurge": "1%"}}), UpdateStrategy::Surge),
        (serde_json::json!({"rollingUpdate": {"maxSurge": "0%"}}), UpdateStrategy::Replace),
    ] {
        let daemon_set = with(serde_json::json!({"updateStrategy": strategy}));
        assert_eq!(UpdateStrategy::of(&daemon_set), expected, "{strategy}");
    }
    assert_eq!(min_ready(&with(serde_json::json!({"minReadySeconds": 9}))), Duration::from_secs(9));
    assert_eq!(min_ready(&with(serde_json::json!({}))), Duration::ZERO);
}

#[test]
fn every_transition_on_one_node() {
    use UpdateStrategy::{OnDelete, Replace, Surge};
    for (strategy, answer, before, min_ready, expected) in [
        (Replace, RUN, "", 0, "start"),
        (Replace, STAY, "", 0, ""),
        (Replace, GONE, "", 0, ""),
        (Replace, RUN, "C", 0, ""),
        (Replace, RUN, "c", 0, ""),
        (Replace, STAY, "C", 0, ""),
        (Replace, GONE, "C", 0, "stop pod-0 NotPlaced"),
        (Replace, GONE, "O!", 0, ""),
        (Replace, RUN, "O", 0, "stop pod-0 Outdated"),
        (Replace, RUN, "o", 0, "stop pod-0 Outdated"),
        (Replace, STAY, "O", 0, "stop pod-0 Outdated"),
        (Replace, RUN, "O!", 0, ""),
        (Replace, RUN, "CC", 0, "stop pod-1 Surplus"),
        (Replace, RUN, "OC", 0, "stop pod-1 Surplus"),
        (OnDelete, RUN, "O", 0, ""),
        (OnDelete, RUN, "O!", 0, ""),
        (OnDelete, RUN, "", 0, "start"),
        (OnDelete, GONE, "O", 0, "stop pod-0 NotPlaced"),
        (Surge, RUN, "", 0, "start"),
        (Surge, RUN, "O!", 0, "start"),
        (Surge, RUN, "O", 0, "start"),
        (Surge, RUN, "Oc", 0, ""),
        (Surge, RUN, "OC", 0, "stop pod-0 Outdated"),
        (Surge, RUN, "OC", 5, ""),
        (Surge, RUN, "OC", 4, "stop pod-0 Outdated"),
        (Surge, RUN, "oc", 0, "stop pod-0 Outdated"),
        (Surge, STAY, "O", 0, "stop pod-0 Outdated"),
        (Surge, RUN, "C", 0, ""),
    ] {
        assert_eq!(
            steps(strategy, answer, before, min_ready),
            expected,
            "{strategy:?} {answer:?} {before:?} {min_ready}"
        );
    }
}

#[test]
fn an_update_that_must_wait_disturbs_nothing_and_holds_up_nothing_else() {
    use UpdateStrategy::{Replace, Surge};
    for (strategy, answer, before, waiting) in [
        (Replace, RUN, "O", ""),
        (Replace, RUN, "", "start"),
        (Replace, GONE, "O", "stop pod-0 NotPlaced"),
        (Replace, RUN, "Ox", "stop pod-0 Failed"),
        (Replace, RUN, "OO", "stop pod-1 Surplus"),
        (Surge, RUN, "O", ""),
        (Surge, RUN, "OC", ""),
        (Surge, RUN, "O!", "start"),
    ] {
        let pods = pods(before);
        let steps = decide(strategy, Duration::ZERO, &verdict(answer), &pods, Turn::Now);
        assert_eq!(shown(&without_update(steps, &pods)), waiting, "{strategy:?} {before:?}");
    }
}

#[test]
fn a_failed_pod_is_removed_when_its_turn_comes_and_holds_its_place_till_then() {
    use UpdateStrategy::{OnDelete, Replace, Surge};
    let wait = Turn::Wait { delay: Duration::from_secs(4), remaining: Duration::from_secs(1) };
    for strategy in [Replace, OnDelete, Surge] {
        for (failed, answer, before, expected) in [
            (Turn::Now, RUN, "cx", "stop pod-0 Failed"),
            (Turn::Now, STAY, "cx", "stop pod-0 Failed"),
            (Turn::Now, RUN, "ox", "stop pod-0 Failed"),
            (wait, RUN, "cx", ""),
            (wait, RUN, "cxcx!", ""),
            (wait, GONE, "cx", "stop pod-0 NotPlaced"),
            (Turn::Now, RUN, "cxC", "stop pod-0 Failed"),
            (wait, RUN, "cxC", ""),
            (Turn::Now, RUN, "CC", "stop pod-1 Surplus"),
        ] {
            let found = steps_at(failed, strategy, answer, before, 0);
            assert_eq!(found, expected, "{failed:?} {strategy:?} {answer:?} {before:?}");
        }
    }
}

#[test]
fn a_deleted_daemon_set_stops_each_of_its_pods_once() {
    let found = decide_deleted(&pods("CO!cx"));
    assert_eq!(found.len(), 2);
}

#[test]
fn only_who_goes_for_another_or_for_a_taint_is_disrupted() {
    use crate::pod::disruption::Disruption;
    for (why, disruption) in [
        (StopReason::Preempted, Some(Disruption::PreemptionByScheduler)),
        (StopReason::Tainted, Some(Disruption::DeletionByTaintManager)),
        (StopReason::Outdated, None),
        (StopReason::Deleted, None),
        (StopReason::NotPlaced, None),
    ] {
        let cause = why.cause();
        assert_eq!((cause.reason, cause.disruption), (why.as_str(), disruption), "{why:?}");
    }
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn without_surge_nothing_starts_beside_another_pod(text in "[OoCc!x]{0,6}", on_delete: bool) {
            let strategy = if on_delete { UpdateStrategy::OnDelete } else { UpdateStrategy::Replace };
            let pods = pods(&text);
            let found = decide(strategy, Duration::ZERO, &verdict(RUN), &pods, Turn::Now);
            prop_assert!(pods.is_empty() || !found.contains(&Step::Start));
        }

        #[test]
        fn at_most_one_pod_is_started(text in "[OoCc!]{0,6}") {
            let found = decide(UpdateStrategy::Surge, Duration::ZERO, &verdict(RUN), &pods(&text), Turn::Now);
            prop_assert!(found.iter().filter(|step| **step == Step::Start).count() <= 1);
        }

        #[test]
        fn where_it_may_not_stay_every_pod_stops(text in "[OoCc!x]{0,6}") {
            let pods = pods(&text);
            let staying = pods.iter().filter(|pod| pod.life != Life::Ending).count();
            let found = decide(UpdateStrategy::Replace, Duration::ZERO, &verdict(GONE), &pods, Turn::Now);
            prop_assert_eq!(found.len(), staying);
        }
    }
}
