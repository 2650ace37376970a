//! Pods that are told to stop while they are anywhere on their way.

use std::time::Duration;

use daemonlet::cri::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::rig::{Machine, one_container};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs a pod on a runtime where one method takes 30 s, stops the pod while that is under way, and answers how long the stop took.
async fn stop_during(method: Method, spec: &Value) -> Duration {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    machine.runtime.delay(method, s(30));
    let pod = agent.run(spec);
    machine.until("asked", |state| state.calls.iter().any(|call| call.method() == method)).await;
    sleep(s(1)).await;
    let told = Instant::now();
    agent.stop(&pod, None);
    agent.until_gone(&pod).await;
    let took = told.elapsed();
    // Whatever the runtime still had under way must not come to be afterwards.
    sleep(s(120)).await;
    machine.assert_clean();
    assert!(agent.context.directory.is_empty());
    took
}

#[tokio::test(start_paused = true)]
async fn a_pull_is_given_up_at_once() {
    assert_eq!(stop_during(Method::PullImage, &one_container(&json!({}))).await.as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_runtime_is_making_is_waited_for_and_then_removed() {
    for method in [Method::RunPodSandbox, Method::CreateContainer, Method::StartContainer] {
        assert_eq!(stop_during(method, &one_container(&json!({}))).await.as_secs(), 29, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_runs_is_given_up() {
    let hook = json!({"lifecycle": {"postStart": {"exec": {"command": ["hello"]}}}});
    assert_eq!(stop_during(Method::ExecSync, &one_container(&hook)).await.as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn back_offs_end_at_once() {
    for (order, reason) in [
        ("autoexit main 1 1", "CrashLoopBackOff"),
        ("fail PullImage 99 nope", "ImagePullBackOff"),
        ("fail CreateContainer 99 nope", "CreateContainerError"),
    ] {
        let machine = Machine::boot();
        let mut agent = machine.start_agent().await;
        machine.runtime.step(order).expect("a step");
        let pod = agent.run(&one_container(&json!({})));
        agent.until_waiting(&pod, "main", reason).await;
        let told = Instant::now();
        agent.stop(&pod, None);
        agent.until_gone(&pod).await;
        assert_eq!(told.elapsed().as_secs(), 0, "{reason}");
        machine.assert_clean();
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_never_began_ends_at_once() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    machine.runtime.set_network_ready(false);
    let pod = agent.run(&one_container(&json!({})));
    agent.until_waiting(&pod, "main", "ContainerCreating").await;
    agent.stop(&pod, None);
    timeout(s(1), agent.until_gone(&pod)).await.expect("at once");
    assert_eq!(machine.runtime.count(Method::RunPodSandbox), 0);
    machine.assert_clean();
}

/// Told to stop a little later each time: wherever that hits, nothing is left.
#[tokio::test(start_paused = true)]
async fn a_stop_at_any_moment_leaves_nothing() {
    for millis in (0..1500).step_by(60) {
        let machine = Machine::boot();
        let mut agent = machine.start_agent().await;
        for method in Method::ALL {
            machine.runtime.delay(*method, Duration::from_millis(70));
        }
        machine.runtime.autoexit("init", Duration::from_millis(50), &[0]);
        let pod = agent.run(&json!({
            "initContainers": [{"name": "init", "image": "registry.example/i:1"}],
            "containers": [
                {"name": "main", "image": "registry.example/app:1"}, {"name": "other", "image": "registry.example/b:1"}],
        }));
        sleep(Duration::from_millis(millis)).await;
        agent.stop(&pod, None);
        agent.until_gone(&pod).await;
        sleep(s(60)).await;
        machine.assert_clean();
    }
}
