//! Events that come early, late, twice or never.

use std::time::Duration;

use daemonlet::cri::Method;
use daemonlet::cri::fake::{FakeOptions, Sources};
use daemonlet::pod::worker::Wake;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::rig::{Machine, one_container, running};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A runtime that tells nothing of its own accord.
fn silent() -> Machine {
    let events = Sources { containerd: false, cri: false };
    Machine::with(&FakeOptions { events, ..FakeOptions::default() })
}

fn newest(machine: &Machine) -> String {
    machine.runtime.read(|state| state.container("main").map(|it| it.id.clone())).expect("a container")
}

fn looks(machine: &Machine) -> usize {
    machine.runtime.count(Method::ContainerStatus)
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_before_its_status_is_believed_until_that_follows() {
    let machine = silent();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    agent.wake(&pod, Wake::Exited(newest(&machine)));
    sleep(s(5)).await;
    assert_eq!(machine.runtime.count(Method::CreateContainer), 1, "nothing is restarted on an event's word");
    machine.runtime.exit("main", 1);
    let ended = Instant::now();
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    assert!(ended.elapsed() <= s(2), "{:?}", ended.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_not_so_is_forgotten() {
    let machine = silent();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    agent.wake(&pod, Wake::Exited(newest(&machine)));
    sleep(s(600)).await;
    let before = looks(&machine);
    sleep(s(3600)).await;
    assert_eq!(looks(&machine), before);
    assert_eq!(machine.runtime.count(Method::CreateContainer), 1);
}

#[tokio::test(start_paused = true)]
async fn events_that_come_twice_or_of_strangers_cost_nothing_but_a_look() {
    let machine = silent();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    machine.runtime.exit("main", 1);
    let first = newest(&machine);
    for _ in 0..100 {
        agent.wake(&pod, Wake::Exited(first.clone()));
    }
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    let before = looks(&machine);
    for _ in 0..100 {
        agent.wake(&pod, Wake::Exited(first.clone()));
        agent.wake(&pod, Wake::Exited("stranger".to_owned()));
        agent.wake(&pod, Wake::Changed(first.clone()));
    }
    sleep(s(60)).await;
    assert!(looks(&machine) - before <= 2, "{} looks", looks(&machine) - before);
    assert_eq!(machine.runtime.count(Method::CreateContainer), 2);
}

#[tokio::test(start_paused = true)]
async fn without_events_the_slow_listing_finds_what_happened() {
    let machine = silent();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    machine.runtime.exit("main", 1);
    sleep(s(300)).await;
    assert_eq!(machine.runtime.count(Method::CreateContainer), 1);
    agent.look_again(&pod);
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_at_rest_asks_the_runtime_nothing() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    sleep(s(60)).await;
    let before = machine.runtime.calls().len();
    sleep(s(24 * 3600)).await;
    assert_eq!(machine.runtime.calls().len(), before);
}
