//! The runtime goes away and comes back.

use std::time::Duration;

use daemonlet::cri::Method;
use serde_json::json;
use tokio::time::sleep;

use crate::rig::{Machine, is_ready, one_container, running};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn while_the_runtime_is_away_nothing_changes_and_then_it_goes_on() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    agent.news();
    machine.runtime.outage();
    agent.look_again(&pod);
    sleep(s(300)).await;
    assert!(agent.pod(&pod).is_some_and(|pod| is_ready(&pod)), "what was true is shown on");
    assert!(agent.news().is_empty());

    // It ends while nobody can tell.
    assert!(machine.runtime.exit("main", 1));
    machine.runtime.recover().expect("recovered");
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    assert_eq!(machine.runtime.count(Method::RunPodSandbox), 1);
    assert_eq!(machine.runtime.count(Method::CreateContainer), 2);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_goes_away_in_the_middle_of_a_start_is_waited_for() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.delay(Method::CreateContainer, s(2));
    let pod = agent.run(&one_container(&json!({})));
    machine
        .until("asked", |state| state.calls.iter().any(|call| call.method() == Method::CreateContainer))
        .await;
    machine.runtime.outage();
    sleep(s(60)).await;
    machine.runtime.recover().expect("recovered");
    agent.until_ready(&pod).await;
    machine.until("only one", |state| state.containers.len() == 1).await;
    assert_eq!(machine.runtime.read(|state| state.sandboxes.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_an_outage_is_finished_after_it() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    machine.runtime.outage();
    agent.stop(&pod, None);
    sleep(s(120)).await;
    assert!(agent.pod(&pod).is_some(), "nobody knows that it is gone");
    machine.runtime.recover().expect("recovered");
    agent.until_gone(&pod).await;
    machine.assert_clean();
}
