//! Pods that have written more than they may.

use serde_json::json;

use super::world::World;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_volume_over_its_limit_costs_the_pod_and_no_condition() {
    let limited = json!({"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "100"}}]});
    let world = World::new(&[(Signal::NodeFsAvailable, 900)]);
    world.pod("within", 100, limited.clone());
    world.pod("free", 900, json!({"volumes": [{"name": "scratch", "emptyDir": {}}]}));
    let mut critical = limited.clone();
    critical["priority"] = json!(2_000_000_000);
    world.pod("critical", 500, critical);
    let control = Control::new(hard(Signal::NodeFsAvailable, 10), world.clone());
    let running = tokio::spawn(control.run());
    sleep(s(35)).await;
    world.pod("beyond", 101, limited);
    sleep(s(20)).await;
    running.abort();
    assert_eq!(world.told(), ["0: shows []", "40: beyond goes for emptydirfs.limit in Some(1)"]);
    assert!(world.with(|machine| machine.walks) >= 5);
}

#[tokio::test(start_paused = true)]
async fn after_an_eviction_for_a_limit_the_node_is_measured_anew_before_another_goes() {
    let world = World::new(&[(Signal::MemoryAvailable, 900)]);
    let limited = json!({"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "100"}}]});
    world.pod("beyond", 500, limited);
    world.pod("other", 900, json!({}));
    world.with(|machine| machine.walk_takes = s(5));
    let running = tokio::spawn(Control::new(hard(Signal::MemoryAvailable, 100), world.clone()).run());
    sleep(s(1)).await;
    // Short when the walk ends; what the pod frees is enough.
    world.set_free(Signal::MemoryAvailable, 50);
    sleep(s(60)).await;
    running.abort();
    assert_eq!(gone(&world), ["5: beyond goes for emptydirfs.limit in Some(1)"]);
}
