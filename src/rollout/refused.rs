//! What is left of a round's steps when the policy forbids the pod of the current revision.
//!
//! A pod that runs is better than one that may not be made: nothing is stopped to make room for a successor that would be refused.

use super::decide::{Generation, Life, PodFacts, Step, StopReason};

/// Whether any of the steps makes the pod of the current revision, or makes room for it.
pub fn wants_successor(steps: &[Step], pods: &[PodFacts]) -> bool {
    steps.iter().any(|step| is_for_successor(step, pods))
}

/// The steps that don't.
pub fn without_successor(steps: Vec<Step>, pods: &[PodFacts]) -> Vec<Step> {
    steps.into_iter().filter(|step| !is_for_successor(step, pods)).collect()
}

fn is_for_successor(step: &Step, pods: &[PodFacts]) -> bool {
    // A successor that is there already was let in when it was made.
    let is_there = pods.iter().any(|pod| pod.generation == Generation::Current && pod.life == Life::Live);
    match step {
        Step::Start => true,
        Step::Stop { why, .. } => *why == StopReason::Outdated && !is_there,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backoff::Turn;
    use crate::placement::{Reason, Verdict};
    use crate::pod::identity::PodUid;
    use crate::rollout::decide::{UpdateStrategy, decide};

    fn pod(order: u64, generation: Generation, life: Life) -> PodFacts {
        let uid = PodUid::parse(&format!("pod-{order}")).unwrap();
        PodFacts { uid, generation, ready_for: Some(Duration::from_secs(9)), life, order }
    }

    fn left(strategy: UpdateStrategy, (run, stay): (bool, bool), pods: &[PodFacts]) -> String {
        let verdict = Verdict {
            should_run: run,
            should_continue_running: stay,
            fits_name: true,
            affinity_match: true,
            untolerated_taint: None,
            reasons: Vec::<Reason>::new(),
        };
        let steps = decide(strategy, Duration::ZERO, &verdict, pods, Turn::Now);
        let wanted = wants_successor(&steps, pods);
        let kept = without_successor(steps.clone(), pods);
        assert_eq!(wanted, kept != steps);
        let shown = kept.iter().map(|step| match step {
            Step::Start => "start".to_owned(),
            Step::Stop { uid, why } => format!("stop {uid} {why:?}"),
        });
        let shown: Vec<String> = shown.collect();
        format!("{}{}", if wanted { "refused " } else { "" }, shown.join(", "))
    }

    #[test]
    fn what_runs_stays_when_its_successor_is_refused_and_all_else_goes_on() {
        use Generation::{Current, Old};
        use Life::{Ending, Failed, Live};
        use UpdateStrategy::{OnDelete, Replace, Surge};
        let (run, stay, gone) = ((true, true), (false, true), (false, false));
        for (strategy, answer, pods, expected) in [
            (Replace, run, vec![], "refused "),
            (Surge, run, vec![], "refused "),
            (Replace, run, vec![pod(0, Old, Live)], "refused "),
            (Surge, run, vec![pod(0, Old, Live)], "refused "),
            (Surge, stay, vec![pod(0, Old, Live)], "refused "),
            (OnDelete, run, vec![pod(0, Old, Live)], ""),
            (Replace, run, vec![pod(0, Current, Live)], ""),
            (Replace, run, vec![pod(0, Old, Ending)], ""),
            (Surge, run, vec![pod(0, Old, Live), pod(1, Current, Live)], "stop pod-0 Outdated"),
            (Replace, gone, vec![pod(0, Old, Live)], "stop pod-0 NotPlaced"),
            (Replace, run, vec![pod(0, Current, Failed)], "stop pod-0 Failed"),
            (Replace, run, vec![pod(0, Old, Live), pod(1, Old, Live)], "refused stop pod-1 Surplus"),
        ] {
            assert_eq!(left(strategy, answer, &pods), expected, "{strategy:?} {answer:?} {pods:?}");
        }
    }
}
