//! What is cleared away of a pod that lives.

use super::*;

#[test]
fn dead_sandboxes_go_also_while_the_pod_waits_for_another() {
    let dead = |attempt: u32| Sandbox {
        id: format!("sandbox-{attempt}").into(),
        attempt,
        state: SandboxState::NotReady,
        network: Network::Pod,
        ips: Vec::new(),
        created_at: i64::from(attempt),
    };
    for (delay, expected) in [
        (0, &["kill pod", "remove sandbox-1", "remove sandbox-0", "sandbox 3"][..]),
        (3, &["remove sandbox-1", "remove sandbox-0"]),
    ] {
        let mut world = two();
        world.observed.sandboxes.extend([dead(2), dead(1), dead(0)]);
        world.sandbox_delay = Duration::from_secs(delay);
        let plan = world.plan();
        assert_eq!(plan.actions.iter().map(brief).collect::<Vec<_>>(), expected);
        assert_eq!(plan.wake_after, (delay > 0).then_some(world.sandbox_delay));
    }
}

#[test]
fn a_short_disk_costs_as_much_of_a_pod_that_waits_for_a_sandbox() {
    for (delay, spare, expected) in [
        (0, Spare::Kept, &["kill pod", "sandbox 1"][..]),
        (0, Spare::Dropped, &["kill pod", "remove a-0-2", "sandbox 1"]),
        (3, Spare::Kept, &[]),
        (3, Spare::Dropped, &["remove a-0-2"]),
    ] {
        let mut world = two();
        world.settle();
        world.exit("a", 1);
        world.settle();
        world.kill_sandbox();
        world.set_state("a", ContainerState::Created);
        (world.spare, world.sandbox_delay) = (spare, Duration::from_secs(delay));
        let done: Vec<String> = world.plan().actions.iter().map(brief).collect();
        assert_eq!(done, expected, "{delay} {spare:?}");
    }
}

#[test]
fn an_instance_that_has_a_successor_and_may_run_is_killed_for_its_removal() {
    for state in [ContainerState::Unknown, ContainerState::Running { started_at: time(1) }] {
        let mut world = two();
        world.settle();
        world.exit("a", 1);
        world.settle();
        world.observed.containers.iter_mut().rfind(|record| record.name == "a").expect("a record").state =
            state;
        assert_eq!(world.plan().actions.iter().map(brief).collect::<Vec<_>>(), ["kill a BeforeRemoval"]);
    }
}

#[test]
fn a_short_disk_costs_the_last_state_of_what_runs_and_nothing_that_is_to_start_again() {
    let mut world = two();
    world.settle();
    world.exit("a", 1);
    world.settle();
    world.exit("b", 1);
    world.restart_delay.insert("b".to_owned(), Duration::from_secs(10));
    world.spare = Spare::Dropped;
    assert_eq!(world.settle().len(), 1);
    let left: Vec<(&str, u32)> =
        world.observed.containers.iter().map(|record| (record.name.as_str(), record.attempt)).collect();
    assert!(left.contains(&("a", 1)) && left.contains(&("b", 0)) && left.len() == 2, "{left:?}");
}

#[test]
fn one_dead_container_of_each_name_is_kept() {
    let mut world = two();
    world.settle();
    for _ in 0..4 {
        world.exit("a", 1);
        world.settle();
    }
    let attempts: Vec<u32> = world
        .observed
        .containers
        .iter()
        .filter(|record| record.name == "a")
        .map(|record| record.attempt)
        .collect();
    assert_eq!(attempts, [4, 3]);
}

#[test]
fn an_old_sandbox_goes_when_the_last_record_in_it_does() {
    let mut world = two();
    world.settle();
    world.kill_sandbox();
    assert_eq!(world.settle(), ["kill pod", "sandbox 1", "start a", "start b"]);
    world.exit("a", 1);
    world.settle();
    assert_eq!(world.observed.sandboxes.len(), 2, "it still has the last state of `b`");
    world.exit("b", 1);
    assert!(world.settle().contains(&"remove sandbox-0".to_owned()));
}
