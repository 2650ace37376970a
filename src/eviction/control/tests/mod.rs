//! The loop over a machine of the test's own, in time that passes at once.

mod limits;
mod world;

use serde_json::json;

use self::world::World;
use super::*;
use crate::eviction::Signal;
use crate::eviction::policy::Configured;
use crate::manifest::Quantity;
use crate::node::Threshold as Amount;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy(configured: &Configured) -> EvictionPolicy {
    EvictionPolicy::new(configured, s(300), s(7))
}

const fn amount(value: i64) -> Amount {
    Amount::Amount(Quantity::from_value(value))
}

fn hard(signal: Signal, value: i64) -> EvictionPolicy {
    policy(&Configured { hard: [(signal, amount(value))].into(), ..Configured::default() })
}

fn soft_memory(value: i64, grace: Duration) -> Configured {
    Configured {
        soft: [(Signal::MemoryAvailable, amount(value))].into(),
        soft_grace: [(Signal::MemoryAvailable, grace)].into(),
        ..Configured::default()
    }
}

fn gone(world: &World) -> Vec<String> {
    world.told().into_iter().filter(|line| line.contains("goes for") || line.contains("takes long")).collect()
}

async fn run_for(policy: &EvictionPolicy, world: &World, seconds: u64) {
    let control = Control::new(policy.clone(), world.clone());
    let _ = timeout(s(seconds), control.run()).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_with_plenty_is_looked_at_once_a_minute_and_nothing_is_said() {
    let world = World::new(&[(Signal::NodeFsAvailable, 900), (Signal::MemoryAvailable, 900)]);
    world.pod("a", 50, json!({}));
    run_for(&hard(Signal::NodeFsAvailable, 100), &world, 595).await;
    assert_eq!(world.told(), ["0: shows []"]);
    assert_eq!(world.with(|machine| (machine.looks.len(), machine.walks)), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn images_go_before_pods() {
    let world = World::new(&[(Signal::NodeFsAvailable, 90)]);
    world.with(|machine| machine.images = 300);
    world.pod("a", 50, json!({}));
    run_for(&hard(Signal::NodeFsAvailable, 100), &world, 400).await;
    assert_eq!(
        world.told(),
        ["0: shows [DiskPressure]", "0: short of ephemeral-storage", "0: images removed", "301: shows []"]
    );
}

#[tokio::test(start_paused = true)]
async fn pods_go_one_at_a_time_in_order_until_there_is_enough() {
    let world = World::new(&[(Signal::MemoryAvailable, 10)]);
    for (name, used, priority) in
        [("greedy", 50, 0), ("greedier", 60, 0), ("important", 500, 9), ("critical", 900, 2_000_000_000)]
    {
        world.pod(name, used, json!({"priority": priority}));
    }
    run_for(&hard(Signal::MemoryAvailable, 100), &world, 60).await;
    assert_eq!(
        world.told(),
        [
            "0: shows [MemoryPressure]",
            "0: short of memory",
            "0: greedier goes for memory.available in Some(1)",
            "2: short of memory",
            "2: greedy goes for memory.available in Some(1)",
        ]
    );
    // Only critical pods are left: the node suffers rather than lose them.
    world.with(|machine| machine.pods.retain(|name, _| name == "critical"));
    world.set_free(Signal::MemoryAvailable, 10);
    run_for(&hard(Signal::MemoryAvailable, 100), &world, 60).await;
    assert!(world.with(|machine| machine.pods.contains_key("critical")));
}

#[tokio::test(start_paused = true)]
async fn memory_comes_before_disk_and_each_has_its_condition() {
    let world = World::new(&[(Signal::MemoryAvailable, 10), (Signal::NodeFsAvailable, 10)]);
    world.pod("a", 500, json!({}));
    let both = Configured {
        hard: [(Signal::NodeFsAvailable, Amount::Part(0.1)), (Signal::MemoryAvailable, Amount::Part(0.1))]
            .into(),
        ..Configured::default()
    };
    run_for(&policy(&both), &world, 5).await;
    let told = world.told();
    assert_eq!(told[0], "0: shows [MemoryPressure DiskPressure]");
    assert_eq!(told[2], "0: a goes for memory.available in Some(1)");
}

#[tokio::test(start_paused = true)]
async fn a_soft_threshold_waits_for_its_grace_and_gives_the_pod_some() {
    let world = World::new(&[(Signal::MemoryAvailable, 150)]);
    world.pod("a", 500, json!({}));
    run_for(&policy(&soft_memory(200, s(45))), &world, 120).await;
    assert_eq!(
        world.told(),
        ["0: shows [MemoryPressure]", "50: short of memory", "50: a goes for memory.available in Some(7)"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_acted_upon_must_recover_by_its_minimum_reclaim() {
    let world = World::new(&[(Signal::MemoryAvailable, 90)]);
    for name in ["a", "b", "c"] {
        world.pod(name, 30, json!({}));
    }
    let configured = Configured {
        hard: [(Signal::MemoryAvailable, amount(100))].into(),
        min_reclaim: [(Signal::MemoryAvailable, amount(40))].into(),
        ..Configured::default()
    };
    run_for(&policy(&configured), &world, 60).await;
    assert_eq!(gone(&world).len(), 2, "90 + 30 is above the threshold, but not by enough");
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_swings_about_its_threshold_makes_one_condition_and_not_many() {
    let world = World::new(&[(Signal::PidAvailable, 99)]);
    let control = Control::new(hard(Signal::PidAvailable, 100), world.clone());
    let running = tokio::spawn(control.run());
    for round in 0..60 {
        sleep(s(10)).await;
        world.set_free(Signal::PidAvailable, if round % 2 == 0 { 101 } else { 99 });
    }
    world.set_free(Signal::PidAvailable, 900);
    sleep(s(400)).await;
    running.abort();
    let shown: Vec<String> = world.told().into_iter().filter(|line| line.contains("shows")).collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].ends_with("[PIDPressure]") && shown[1].ends_with("[]"), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_go_does_not_keep_the_next_from_going() {
    let world = World::new(&[(Signal::MemoryAvailable, 10)]);
    world.pod("stuck", 900, json!({}));
    world.pod("next", 200, json!({}));
    world.with(|machine| machine.stubborn.insert("stuck".to_owned()));
    run_for(&hard(Signal::MemoryAvailable, 100), &world, 120).await;
    assert_eq!(
        gone(&world),
        [
            "0: stuck goes for memory.available in Some(1)",
            "10: stuck takes long",
            "40: next goes for memory.available in Some(1)",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_next_pod_goes_only_when_the_first_has_had_the_time_it_was_given() {
    let patient = |own: u64| json!({"terminationGracePeriodSeconds": own});
    for (own, ends_within, second_at) in
        [(600, Some(100), 102), (600, None, 180 + 30), (60, None, 90 + 30), (2, None, 10 + 30)]
    {
        let world = World::new(&[(Signal::MemoryAvailable, 10)]);
        world.pod("first", 90, patient(own));
        world.pod("next", 80, patient(0));
        world.with(|machine| match ends_within {
            Some(seconds) => drop(machine.ends_within.insert("first".to_owned(), s(seconds))),
            None => drop(machine.stubborn.insert("first".to_owned())),
        });
        let policy = EvictionPolicy::new(&soft_memory(200, s(1)), s(300), s(120));
        run_for(&policy, &world, 400).await;
        let gone = gone(&world);
        // The first look finds the threshold crossed, the next one that its time is over.
        assert_eq!(gone[0], "10: first goes for memory.available in Some(120)");
        let next = format!("{}: next goes for memory.available in Some(120)", 10 + second_at);
        assert!(gone.contains(&next), "{own} {gone:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hard_threshold_hurries_a_pod_that_was_told_softly_and_no_other() {
    let world = World::new(&[(Signal::MemoryAvailable, 150)]);
    world.pod("slow", 900, json!({"terminationGracePeriodSeconds": 600}));
    world.with(|machine| machine.stubborn.insert("slow".to_owned()));
    let configured =
        Configured { hard: [(Signal::MemoryAvailable, amount(100))].into(), ..soft_memory(200, s(1)) };
    let control = Control::new(policy(&configured), world.clone());
    let running = tokio::spawn(control.run());
    sleep(s(25)).await;
    world.set_free(Signal::MemoryAvailable, 50);
    sleep(s(600)).await;
    running.abort();
    assert_eq!(
        gone(&world),
        [
            "10: slow goes for memory.available in Some(7)",
            "20: slow takes long",
            "50: slow goes for memory.available in Some(1)",
            "60: slow takes long",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn while_it_is_not_known_what_pods_use_none_goes_and_the_node_says_that_it_is_short() {
    for signal in [Signal::MemoryAvailable, Signal::PidAvailable, Signal::NodeFsAvailable] {
        let world = World::new(&[(signal, 10)]);
        world.pod("a", 500, json!({}));
        let limited = json!({"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "100"}}]});
        world.pod("beyond", 500, limited);
        world.with(|machine| machine.is_blind = true);
        let control = Control::new(hard(signal, 100), world.clone());
        let running = tokio::spawn(control.run());
        sleep(s(600)).await;
        let told = world.told();
        assert!(!told.iter().any(|line| line.contains("goes for")), "{told:?}");
        let shown: Vec<&String> = told.iter().filter(|line| line.contains("shows")).collect();
        assert_eq!(*shown[0], format!("0: shows [{}]", signal.pressure().condition()));
        assert_eq!(shown.len(), 1, "{shown:?}");
        world.with(|machine| machine.is_blind = false);
        sleep(s(60)).await;
        running.abort();
        assert!(world.told().iter().any(|line| line.contains("goes for")), "{signal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_walk_over_files_holds_up_nothing_else() {
    let world = World::new(&[(Signal::NodeFsAvailable, 10), (Signal::MemoryAvailable, 900)]);
    world.pod("writer", 500, json!({"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "100"}}]}));
    world.pod("eater", 700, json!({}));
    world.with(|machine| machine.walk_takes = s(300));
    let both = [(Signal::NodeFsAvailable, amount(100)), (Signal::MemoryAvailable, amount(100))];
    let policy = policy(&Configured { hard: both.into(), ..Configured::default() });
    let running = tokio::spawn(Control::new(policy, world.clone()).run());
    sleep(s(65)).await;
    world.set_free(Signal::MemoryAvailable, 50);
    sleep(s(20)).await;
    let gone_by_then = gone(&world);
    assert_eq!(gone_by_then, ["71: eater goes for memory.available in Some(1)"]);
    assert_eq!(world.with(|machine| machine.walks), 2, "one for the limits, one for the disk");
    sleep(s(600)).await;
    running.abort();
    let gone_later = gone(&world);
    assert_eq!(gone_later.len(), 1, "{gone_later:?}");
    assert!(gone_later[0].starts_with("300: writer goes for emptydirfs.limit"), "{gone_later:?}");
}

#[tokio::test(start_paused = true)]
async fn the_message_tells_what_was_free_before_images_were_removed() {
    let world = World::new(&[(Signal::NodeFsAvailable, 10)]);
    world.with(|machine| machine.images = 30);
    world.pod("a", 500, json!({}));
    run_for(&hard(Signal::NodeFsAvailable, 100), &world, 60).await;
    let messages = world.with(|machine| machine.messages.clone());
    let expected =
        "The node was low on resource: ephemeral-storage. Threshold quantity: 100, available: 10. ";
    assert_eq!(messages, [expected]);
}
