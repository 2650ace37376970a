//! Random histories of a pod: what befalls it, and what the agent hears of that too late, twice or never. All end with the pod as it should be.

use proptest::prelude::*;

use super::*;

/// What can happen to a pod.
#[derive(Debug, Clone)]
enum Mishap {
    Exit(usize, i32),
    SandboxDies,
    StateLost(usize),
    RecordVanishes(usize),
    SandboxVanishes,
    /// The agent dies after so many actions of a plan.
    AgentDies(usize),
    /// Nothing was heard of what happened after the last look, so that a plan is made from that; a runtime refuses what no longer fits.
    HeardLate,
    /// What was heard is heard again: the same plan is made, and carried out twice.
    HeardTwice,
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        (0..6_usize, -1..3_i32).prop_map(|(at, code)| Mishap::Exit(at, code)),
        Just(Mishap::SandboxDies),
        (0..6_usize).prop_map(Mishap::StateLost),
        (0..6_usize).prop_map(Mishap::RecordVanishes),
        Just(Mishap::SandboxVanishes),
        (0..5_usize).prop_map(Mishap::AgentDies),
        Just(Mishap::HeardLate),
        Just(Mishap::HeardTwice),
    ]
}

/// Carries out what was planned on what was `seen`, if a runtime would not refuse it as it is: only in a sandbox that runs does a container start,
/// and no attempt is made twice.
fn carry_out_what_fits(world: &mut World, seen: &Observed, actions: Vec<Action>) {
    for action in actions {
        let fits = match &action {
            Action::StartContainer { name, .. } => {
                let attempt = seen.newest(name).map_or(0, |record| record.attempt + 1);
                let is_taken =
                    |record: &observed::Container| record.name == *name && record.attempt == attempt;
                world.observed.sandbox().is_some_and(|sandbox| sandbox.state == SandboxState::Ready)
                    && !world.observed.containers.iter().any(is_taken)
            }
            Action::KillContainer { id, .. } => {
                world.observed.containers.iter().any(|record| record.id == *id)
            }
            Action::CreateSandbox { attempt } => {
                world.observed.sandboxes.iter().all(|sandbox| sandbox.attempt != *attempt)
            }
            _ => true,
        };
        if fits {
            world.carry_out(action);
        }
    }
}

/// A plan for the world as it was in `seen`, in the world as it is.
fn act_on(world: &mut World, seen: &Observed) {
    let now = std::mem::replace(&mut world.observed, seen.clone());
    let actions = world.plan().actions;
    world.observed = now;
    carry_out_what_fits(world, seen, actions);
}

fn suffer(world: &mut World, seen: &Observed, mishap: &Mishap) {
    let count = world.observed.containers.len();
    match *mishap {
        Mishap::Exit(at, code) if count > 0 => {
            let record = &world.observed.containers[at % count];
            if record.is_running() {
                let name = record.name.clone();
                world.exit(&name, code);
            }
        }
        Mishap::SandboxDies => world.kill_sandbox(),
        Mishap::StateLost(at) if count > 0 => {
            world.observed.containers[at % count].state = ContainerState::Unknown;
        }
        Mishap::RecordVanishes(at) if count > 0 => {
            world.observed.containers.remove(at % count);
        }
        Mishap::SandboxVanishes => {
            world.kill_sandbox();
            world.observed.sandboxes.clear();
        }
        Mishap::AgentDies(after) => {
            let actions = world.plan().actions;
            actions.into_iter().take(after).for_each(|action| world.carry_out(action));
        }
        Mishap::HeardLate => act_on(world, seen),
        Mishap::HeardTwice => {
            let (seen, actions) = (world.observed.clone(), world.plan().actions);
            carry_out_what_fits(world, &seen, actions.clone());
            carry_out_what_fits(world, &seen, actions);
        }
        _ => {}
    }
}

/// Lets every running plain init container end well until the pod is at rest.
fn converge(world: &mut World) {
    for _ in 0..20 {
        world.settle();
        let running: Vec<String> = (world.observed.running())
            .filter(|record| matches!(record.name.as_str(), "i" | "j"))
            .map(|record| record.name.clone())
            .collect();
        if running.is_empty() {
            return;
        }
        running.iter().for_each(|name| world.exit(name, 0));
    }
    panic!("the init containers never end");
}

proptest! {
    #[test]
    fn every_history_ends_with_the_pod_as_it_should_be(
        kind in 0..3_usize, history in proptest::collection::vec(mishap(), 0..12),
    ) {
        let mut world = [two, with_init, with_sidecar][kind]();
        let mut seen = world.observed.clone();
        for step in &history {
            let before = world.observed.clone();
            suffer(&mut world, &seen, step);
            seen = before;
            if matches!(step, Mishap::Exit(..)) {
                world.settle();
            }
        }
        converge(&mut world);

        let ready = world.observed.sandboxes.iter().filter(|s| s.state == SandboxState::Ready).count();
        prop_assert_eq!(ready, 1);
        let sandbox = world.observed.sandbox().expect("a sandbox").id.clone();
        let mut expected: Vec<&str> = if kind == 0 { vec!["a", "b"] } else { vec!["a"] };
        if kind == 2 {
            expected.push("s");
        }
        let mut running: Vec<&str> = world.observed.running().map(|record| record.name.as_str()).collect();
        running.sort_unstable();
        prop_assert_eq!(running, expected);
        prop_assert!(world.observed.running().all(|record| record.sandbox == sandbox));
        for name in ["a", "b", "i", "j", "s"] {
            let records = world.observed.containers.iter().filter(|record| record.name == name).count();
            prop_assert!(records <= 2, "{} records of {}", records, name);
        }
    }
}
