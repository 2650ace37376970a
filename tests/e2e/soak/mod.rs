//! Faults at random, and a node that is exactly right after each few of them.
//!
//! A seed is a scenario ([`scenario`]): manifests come, change and go, the agent is killed at any moment, containerd is killed and hung,
//! shims are killed, containers and sandboxes are removed behind the agent's back. Every few operations the node must become what its
//! store says ([`run`]): one pod a DaemonSet, what was not touched as it was before, nothing left of anything else. `make soak` plays
//! seeds that nobody has played before; `make soak SOAK_SEED=…` plays one again. A seed repeats what is done and when, not how the
//! machine's processes take turns: one that fails seldom must be played a few times.

mod pods;
mod run;
mod scenario;

use std::time::{Duration, Instant};

use self::run::{Counts, play};
use crate::kit::Chance;

/// How many operations a seed has in a soak.
const LENGTH: usize = 40;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

#[test]
fn a_few_faults_at_random_leave_the_node_exactly_right() {
    let Some(counts) = play(7, 12) else { return };
    println!("{counts}");
}

#[test]
#[ignore = "as long as SOAK_MINUTES says: make soak"]
fn faults_at_random_for_as_long_as_asked_leave_the_node_exactly_right() {
    let minutes = setting("SOAK_MINUTES").unwrap_or(10);
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let told = setting("SOAK_SEED");
    let mut counts = Counts::default();
    loop {
        let seed = told.unwrap_or_else(Chance::fresh_seed);
        println!("SOAK_SEED={seed}");
        let Some(played) = play(seed, LENGTH) else { return };
        counts += played;
        println!("so far: {counts}");
        if told.is_some() || Instant::now() > end {
            return;
        }
    }
}
