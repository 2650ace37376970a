//! Who is handed over next. Pure.
//!
//! A pod of ours that runs is ended only when the kubelet has started everything that was handed over before it: a kubelet that starts nothing
//! costs the node one pod, and that the least important one. What nothing of runs any more, as a kubelet kills what it doesn't know, has nothing
//! to lose by being written, so it goes at once, the most important first. What waits for room here goes last of all, so that it takes no room from
//! what runs, and nobody waits for it: whether there is room for it is the kubelet's to say.

use super::plan::{Footing, Step};
use super::sight::Sight;
use crate::kubelet::standing_back::{Pace, Start, SteppedBack};
use crate::manifest::DaemonSetKey;

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// End the DaemonSet's pods, and write its static pod.
    Release(Box<Step>, Start),
    /// The kubelet is to start what it was given.
    Wait,
    /// All was handed over that can be.
    Done,
}

/// What to do next, by the note, the steps in their order and what the runtime shows.
pub(super) fn next(note: &SteppedBack, steps: &[Step], sight: &Sight) -> Next {
    let is_left = |key: &DaemonSetKey| {
        note.written.iter().all(|written| written.daemon_set != *key)
            && note.refused.iter().all(|(refused, _)| refused != key)
    };
    let left = || steps.iter().filter(|step| is_left(&step.daemon_set));
    let waits = note.pace == Pace::AfterEachStart && note.awaited().next().is_some();
    let start = match note.pace {
        Pace::AtOnce => Start::NotAwaited,
        Pace::AfterEachStart => Start::Awaited,
    };
    let runs = |step: &&Step| sight.running.contains(&step.daemon_set);
    let killed = left().rev().find(|step| step.footing == Footing::Pod && !runs(step));
    if let Some(step) = killed {
        return Next::Release(Box::new(step.clone()), start);
    }
    if waits {
        return Next::Wait;
    }
    if let Some(step) = left().find(runs) {
        return Next::Release(Box::new(step.clone()), start);
    }
    left().next().map_or(Next::Done, |step| Next::Release(Box::new(step.clone()), Start::NotAwaited))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::kubelet::standing_back::{Stage, Written};

    fn key(name: &str) -> DaemonSetKey {
        DaemonSetKey { namespace: "a".into(), name: name.into() }
    }

    fn step(name: &str, footing: Footing) -> Step {
        Step { daemon_set: key(name), file: name.into(), footing, pod: Err(Vec::new()) }
    }

    fn note(pace: Pace) -> SteppedBack {
        let mut note = SteppedBack::new(Stage::HandingOver, Timestamp::UNIX_EPOCH, String::new(), "/".into());
        note.pace = pace;
        note
    }

    fn wrote(note: &mut SteppedBack, daemon_set: DaemonSetKey, start: Start) {
        note.written.push(Written { path: "/x".into(), sha256: String::new(), at: None, daemon_set, start });
    }

    fn sight(running: &[&str]) -> Sight {
        Sight { running: running.iter().map(|name| key(name)).collect(), taken_up: BTreeSet::new() }
    }

    fn said(next: &Next) -> String {
        match next {
            Next::Release(step, start) => format!("{} {start:?}", step.daemon_set.name),
            Next::Wait => "wait".into(),
            Next::Done => "done".into(),
        }
    }

    #[test]
    fn each_case_has_its_next_step() {
        use Footing::{Nothing, Pod};
        let steps = [step("light", Pod), step("heavy", Pod), step("roomless", Nothing)];
        let both = sight(&["light", "heavy"]);
        let mut note = note(Pace::AfterEachStart);
        assert_eq!(said(&next(&note, &steps, &both)), "light Awaited", "the least important first");
        assert_eq!(
            said(&next(&note, &steps, &sight(&[]))),
            "heavy Awaited",
            "killed: the most important first"
        );
        assert_eq!(
            said(&next(&note, &steps, &sight(&["light"]))),
            "heavy Awaited",
            "what was killed goes first"
        );
        wrote(&mut note, key("light"), Start::Awaited);
        assert_eq!(said(&next(&note, &steps, &both)), "wait", "heavy still runs");
        assert_eq!(said(&next(&note, &steps, &sight(&[]))), "heavy Awaited", "heavy has nothing to lose");
        note.written[0].start = Start::Seen { at: Timestamp::UNIX_EPOCH };
        assert_eq!(said(&next(&note, &steps, &both)), "heavy Awaited");
        wrote(&mut note, key("heavy"), Start::Awaited);
        assert_eq!(said(&next(&note, &steps, &sight(&[]))), "wait", "it may need the room");
        note.written[1].start = Start::Seen { at: Timestamp::UNIX_EPOCH };
        assert_eq!(said(&next(&note, &steps, &sight(&[]))), "roomless NotAwaited");
        note.refused.push((key("roomless"), Vec::new()));
        assert_eq!(said(&next(&note, &steps, &sight(&[]))), "done");
    }

    #[test]
    fn without_a_kubelet_nobody_waits() {
        let steps = [step("one", Footing::Pod), step("other", Footing::Pod)];
        let mut note = note(Pace::AtOnce);
        assert_eq!(said(&next(&note, &steps, &sight(&["one", "other"]))), "one NotAwaited");
        wrote(&mut note, key("one"), Start::NotAwaited);
        assert_eq!(said(&next(&note, &steps, &sight(&["other"]))), "other NotAwaited");
        // The pace may have changed since, so that nothing may be waited for that was written before.
        note.written[0].start = Start::Awaited;
        assert_eq!(said(&next(&note, &steps, &sight(&["other"]))), "other NotAwaited");
    }

    proptest! {
        #[test]
        fn no_pod_that_runs_is_ended_while_a_start_is_awaited_and_each_goes_once(
            footings in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 0..6),
            starts in prop::collection::vec(any::<bool>(), 0..64),
        ) {
            let steps: Vec<Step> = footings.iter().enumerate().map(|(index, (has_pod, _, _))| {
                step(&index.to_string(), if *has_pod { Footing::Pod } else { Footing::Nothing })
            }).collect();
            let mut running: BTreeSet<DaemonSetKey> = steps.iter().zip(&footings)
                .filter(|(step, (_, runs, _))| step.footing == Footing::Pod && *runs).map(|(step, _)| step.daemon_set.clone()).collect();
            let mut note = note(Pace::AfterEachStart);
            let mut starts = starts.into_iter();
            for _ in 0..100 {
                let sight = Sight { running: running.clone(), taken_up: BTreeSet::new() };
                match next(&note, &steps, &sight) {
                    Next::Release(step, start) => {
                        let key = step.daemon_set;
                        prop_assert!(note.written.iter().all(|written| written.daemon_set != key));
                        prop_assert!(!running.remove(&key) || note.awaited().next().is_none());
                        wrote(&mut note, key, start);
                    }
                    Next::Wait => {
                        // Either the kubelet starts one, or it kills one of ours.
                        if starts.next().unwrap_or(true) {
                            let awaited = note.written.iter_mut().find(|written| written.start == Start::Awaited);
                            prop_assert!(awaited.is_some());
                            awaited.unwrap().start = Start::Seen { at: Timestamp::UNIX_EPOCH };
                        } else {
                            running.pop_first();
                        }
                    }
                    Next::Done => {
                        prop_assert_eq!(note.written.len(), steps.len());
                        return Ok(());
                    }
                }
            }
            prop_assert!(false, "it never ends");
        }
    }
}
