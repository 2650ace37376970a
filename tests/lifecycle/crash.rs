//! Containers that end, and what the runtime loses.

use std::time::Duration;

use daemonlet::cri::Method;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::rig::{Machine, one_container, running, status, waiting};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_is_shown_and_told_once_each_time_that_it_is_entered() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.autoexit("main", s(1), &[3]);
    let pod = agent.run(&one_container(&json!({})));

    let shown = agent.until_waiting(&pod, "main", "CrashLoopBackOff").await;
    let (_, message) = waiting(&shown, "main").expect("waiting");
    assert_eq!(message, format!("back-off 10s restarting failed container=main pod={}", pod.full()));
    let main = status(&shown, "main").expect("a status");
    assert_eq!(main.restart_count, 1);
    let last = main.last_state.as_ref().and_then(|state| state.terminated.as_ref()).expect("a last state");
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));

    let told = format!("Back-off restarting failed container main in pod {}", pod.full());
    for round in 0..3 {
        agent.store(&format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: other-{round}}}}}"));
        sleep(s(1)).await;
    }
    assert_eq!(agent.told("BackOff", &told), 1, "syncs in between tell nothing new");
    agent
        .until(&pod, "20s", |pod| waiting(pod, "main").is_some_and(|(_, m)| m.contains("back-off 20s")))
        .await;
    assert_eq!(agent.told("BackOff", &told), 2);
    assert_eq!(machine.times(Method::StartContainer), [0.0, 1.0, 12.0]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_leaves_the_other_container_alone() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.autoexit("bad", s(1), &[1]);
    let pod = agent.run(&json!({"containers": [
        {"name": "good", "image": "registry.example/good:1"},
        {"name": "bad", "image": "registry.example/bad:1"}]}));
    agent.until(&pod, "restarted thrice", |pod| running(pod, "bad") == Some(3)).await;
    let shown = agent.pod(&pod).expect("a pod");
    assert_eq!(running(&shown, "good"), Some(0));
    machine.runtime.read(|state| {
        let good = state.containers.iter().filter(|container| container.name() == "good").count();
        let bad = state.containers.iter().filter(|container| container.name() == "bad").count();
        assert_eq!((good, bad), (1, 2), "the newest dead container is kept beside the one that runs");
    });
}

#[tokio::test(start_paused = true)]
async fn a_container_that_was_killed_for_want_of_memory_says_so() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    assert!(machine.runtime.oom("main"));
    let shown = agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    let last = status(&shown, "main").and_then(|main| main.last_state.clone()?.terminated).expect("an end");
    assert_eq!((last.reason.as_deref(), last.exit_code), (Some("OOMKilled"), 137));
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_behind_our_back_comes_back() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;

    let cri = machine.runtime.client();
    let (sandbox, container) =
        machine.runtime.read(|state| (state.sandboxes[0].id.clone(), state.containers[0].id.clone()));
    cri.remove_container(&container.as_str().into()).await.expect("removed");
    machine.until("another container", |state| state.is_running("main")).await;
    assert_eq!(machine.runtime.read(|state| state.sandboxes.len()), 1);

    cri.remove_pod_sandbox(&sandbox.as_str().into()).await.expect("removed");
    machine
        .until("another sandbox", |state| {
            state.is_running("main") && state.sandboxes.iter().all(|it| it.id != sandbox)
        })
        .await;
    assert_eq!(agent.context.directory.len(), 2, "what is gone is forgotten");
    agent.until_ready(&pod).await;
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_forgets_every_container_is_not_flooded() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    agent.run(&one_container(&json!({})));
    let forgetful = async {
        loop {
            machine.until("a container", |state| !state.containers.is_empty()).await;
            machine.runtime.change(|state| state.containers.clear());
        }
    };
    assert!(timeout(s(60), forgetful).await.is_err());
    let made = machine.runtime.count(Method::CreateContainer);
    assert!((3..=5).contains(&made), "{made} containers in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_does_not_start_is_tried_again_as_one_that_crashes() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.fail(Method::StartContainer, 1, "exec: \"nope\": not found");
    let pod = agent.run(&one_container(&json!({})));
    let shown = agent.until_waiting(&pod, "main", "RunContainerError").await;
    let (_, message) = waiting(&shown, "main").expect("waiting");
    assert_eq!(message, "exec: \"nope\": not found");
    agent.until_ready(&pod).await;
    assert_eq!(agent.told("Failed", "Error: exec: \"nope\": not found"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_can_not_be_made_is_tried_ever_less_often() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.fail(Method::CreateContainer, 10, "no space left on device");
    let pod = agent.run(&one_container(&json!({})));
    let shown = agent.until_waiting(&pod, "main", "CreateContainerError").await;
    assert_eq!(waiting(&shown, "main").expect("waiting").1, "no space left on device");
    agent.until_ready(&pod).await;
    let times = machine.times(Method::CreateContainer);
    assert_eq!(times, [0.0, 0.1, 1.1, 2.1, 3.1, 4.1, 6.1, 10.1, 18.1, 28.1, 38.1]);
    assert_eq!(agent.told("Failed", "Error: no space left on device"), 10);
}
