//! Pods that end: hooks, grace, order, and nothing left.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use daemonlet::cri::Method;
use daemonlet::cri::fake::{FakeOptions, Request};
use daemonlet::pod::context::News;
use daemonlet::volume::pod_dirs;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::rig::{Machine, one_container, running};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The containers that were told to stop, in order, with the grace each was given.
fn stops(machine: &Machine) -> Vec<(String, i64)> {
    let calls = machine.runtime.calls().into_iter();
    calls
        .filter_map(|call| match call.request {
            Request::StopContainer(request) => Some((call.container.unwrap_or_default(), request.timeout)),
            _ => None,
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_leaves_nothing_and_its_record_goes_last() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    agent.store("{apiVersion: v1, kind: ConfigMap, metadata: {name: config}, data: {key: value}}");
    let mut spec = one_container(&json!({"volumeMounts": [
        {"name": "config", "mountPath": "/config"}, {"name": "scratch", "mountPath": "/scratch"}]}));
    spec["volumes"] =
        json!([{"name": "config", "configMap": {"name": "config"}}, {"name": "scratch", "emptyDir": {}}]);
    let pod = agent.run(&spec);
    agent.until_ready(&pod).await;
    agent.news();

    machine.runtime.fail(Method::RemovePodSandbox, 3, "device or resource busy");
    agent.stop(&pod, None);
    machine
        .until("asked", |state| state.calls.iter().any(|call| call.method() == Method::RemovePodSandbox))
        .await;
    sleep(s(1)).await;
    assert!(agent.context.records.get(&pod.uid).is_some_and(|record| record.ending.is_some()));
    let told = agent.until_gone(&pod).await;
    assert_eq!(told, [News::NotReady, News::Gone]);
    assert!(agent.context.records.get(&pod.uid).is_none());
    assert!(agent.pod(&pod).is_none());
    assert!(agent.context.directory.is_empty());
    sleep(s(1)).await;
    assert!(agent.is_finished(&pod));
    machine.assert_clean();
    assert_eq!(machine.runtime.count(Method::StopPodSandbox), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_shows_by_when_it_should_be_gone() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    machine.runtime.stubborn("main");
    let mut spec = one_container(&json!({}));
    spec["terminationGracePeriodSeconds"] = json!(600);
    let pod = agent.run(&spec);
    agent.until_ready(&pod).await;
    let begun = agent.context.clock.wall_seconds();
    for (grace, expected) in [(None, 600), (Some(s(100)), 100)] {
        sleep(s(10)).await;
        agent.stop(&pod, grace);
        let shown = agent
            .until(&pod, "told", |pod| pod.metadata.deletion_grace_period_seconds == Some(expected))
            .await;
        let deleted = shown.metadata.deletion_timestamp.as_ref().expect("a time").0;
        assert_eq!(deleted.duration_since(begun).as_secs(), 10 + expected);
    }
    agent.until_gone(&pod).await;
}

#[tokio::test(start_paused = true)]
async fn the_hook_has_its_share_of_the_grace_and_the_signal_the_rest() {
    for (hook, expected) in [(0, 20), (4, 16), (19, 2), (60, 2)] {
        let machine = Machine::boot();
        let mut agent = machine.start_agent().await;
        let mut spec = one_container(&json!({"lifecycle": {"preStop": {"exec": {"command": ["bye"]}}}}));
        spec["terminationGracePeriodSeconds"] = json!(20);
        let pod = agent.run(&spec);
        agent.until_ready(&pod).await;
        machine.runtime.delay(Method::ExecSync, s(hook));
        let told = Instant::now();
        agent.stop(&pod, None);
        agent.until_gone(&pod).await;
        assert_eq!(stops(&machine), [("main".to_owned(), expected)], "a hook of {hook} s");
        assert_eq!(told.elapsed().as_secs(), hook.min(20));
        assert!(agent.events("FailedPreStopHook").is_empty(), "one that is late has not failed");
        machine.assert_clean();
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_outlasts_the_grace_goes_on_and_is_told_of_when_it_fails() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let mut spec = one_container(&json!({"lifecycle": {"preStop": {"exec": {"command": ["bye"]}}}}));
    spec["terminationGracePeriodSeconds"] = json!(20);
    let pod = agent.run(&spec);
    agent.until_ready(&pod).await;
    machine.runtime.delay(Method::ExecSync, s(60));
    machine.runtime.step("execcode 1").expect("a step");
    let told = Instant::now();
    agent.stop(&pod, None);
    agent.until_gone(&pod).await;
    assert_eq!(told.elapsed().as_secs(), 20);
    assert!(agent.events("FailedPreStopHook").is_empty(), "nobody knows yet");
    sleep(s(41)).await;
    assert_eq!(agent.told("FailedPreStopHook", "PreStopHook failed"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ignores_the_signal_has_its_whole_grace_and_no_more() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    machine.runtime.stubborn("main");
    let mut spec = one_container(&json!({}));
    spec["terminationGracePeriodSeconds"] = json!(45);
    let pod = agent.run(&spec);
    agent.until_ready(&pod).await;
    let told = Instant::now();
    agent.stop(&pod, None);
    agent.until_gone(&pod).await;
    assert_eq!(told.elapsed().as_secs(), 45);
    machine.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_shorter_grace_overtakes_a_longer_one_and_never_the_other_way_round() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    machine.runtime.stubborn("main");
    let mut spec = one_container(&json!({}));
    spec["terminationGracePeriodSeconds"] = json!(600);
    let pod = agent.run(&spec);
    agent.until_ready(&pod).await;
    let told = Instant::now();
    agent.stop(&pod, None);
    sleep(s(10)).await;
    agent.stop(&pod, Some(s(5)));
    sleep(s(1)).await;
    agent.stop(&pod, Some(s(100)));
    agent.until_gone(&pod).await;
    assert_eq!(told.elapsed().as_secs(), 15);
    assert_eq!(stops(&machine), [("main".to_owned(), 600), ("main".to_owned(), 5)]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_stop_last_in_reverse_and_share_the_grace() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let sidecar =
        |name: &str| json!({"name": name, "image": "registry.example/s:1", "restartPolicy": "Always"});
    let pod = agent.run(&json!({
        "terminationGracePeriodSeconds": 30,
        "initContainers": [sidecar("one"), sidecar("two")],
        "containers": [{"name": "main", "image": "registry.example/app:1"}],
    }));
    agent.until_ready(&pod).await;
    machine.runtime.stubborn("two");
    machine.runtime.delay(Method::StopContainer, s(3));
    agent.stop(&pod, None);
    agent.until_gone(&pod).await;
    let expected = [("main", 30), ("two", 27), ("one", 2)];
    assert_eq!(stops(&machine), expected.map(|(name, grace)| (name.to_owned(), grace)));
    machine.assert_clean();
}

/// A pod whose sidecar has this lifecycle.
fn beside_a_sidecar(lifecycle: &Value) -> Value {
    json!({
        "terminationGracePeriodSeconds": 30,
        "initContainers": [{"name": "side", "image": "registry.example/s:1", "restartPolicy": "Always", "lifecycle": lifecycle}],
        "containers": [{"name": "main", "image": "registry.example/app:1"}],
    })
}

#[tokio::test(start_paused = true)]
async fn a_sidecars_hook_and_its_wait_each_take_whole_seconds() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let hook = json!({"preStop": {"exec": {"command": ["bye"]}}});
    let pod = agent.run(&beside_a_sidecar(&hook));
    agent.until_ready(&pod).await;
    machine.runtime.delay(Method::ExecSync, Duration::from_millis(1_700));
    machine.runtime.delay(Method::StopContainer, Duration::from_millis(3_400));
    agent.stop(&pod, None);
    agent.until_gone(&pod).await;
    // 1.7 s for the hook and another 1.7 s for the turn: one second each.
    assert_eq!(stops(&machine), [("main".to_owned(), 30), ("side".to_owned(), 28)]);
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_waits_for_a_container_that_could_not_be_stopped() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let pod = agent.run(&beside_a_sidecar(&json!({})));
    agent.until_ready(&pod).await;
    machine.runtime.fail(Method::StopContainer, 1, "ttrpc: closed");
    agent.stop(&pod, None);
    agent.until_gone(&pod).await;
    assert_eq!(stops(&machine), [("main".to_owned(), 30), ("side".to_owned(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn the_sandbox_is_stopped_whatever_became_of_its_containers() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    machine.runtime.fail(Method::StopContainer, 1, "ttrpc: closed");
    agent.stop(&pod, None);
    let since = Instant::now();
    machine
        .until("asked", |state| state.calls.iter().any(|call| call.method() == Method::StopPodSandbox))
        .await;
    assert!(since.elapsed() < s(1), "in the same round");
    agent.until_gone(&pod).await;
    let message = "error killing pod: failed to \"KillContainer\" for \"main\" with KillContainerError: \"rpc error: code = Unknown desc = ttrpc: closed\"";
    assert_eq!(agent.told("FailedKillPod", message), 1);
    assert_eq!(stops(&machine).len(), 1, "what ended with its sandbox is not stopped again");
    assert_eq!(
        machine.runtime.count(Method::StopPodSandbox),
        2,
        "but the sandbox is, until all has gone well"
    );
    machine.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_will_not_stop_a_pod_is_asked_until_it_does() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    machine.runtime.fail(Method::StopContainer, 3, "ttrpc: closed");
    machine.runtime.fail(Method::StopPodSandbox, 3, "no such bridge");
    agent.stop(&pod, None);
    sleep(Duration::from_millis(2500)).await;
    assert!(agent.context.records.get(&pod.uid).is_some(), "nothing is forgotten that may still run");
    assert_eq!(machine.runtime.count(Method::RemovePodSandbox), 0);
    agent.until_gone(&pod).await;
    assert_eq!(machine.times(Method::StopContainer), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(machine.times(Method::StopPodSandbox), [0.0, 1.0, 2.0, 3.0]);
    let message = format!(
        "error killing pod: [failed to \"KillContainer\" for \"main\" with KillContainerError: \"rpc error: code = Unknown desc = ttrpc: closed\", failed to \"KillPodSandbox\" for \"{}\" with KillPodSandboxError: \"rpc error: code = Unknown desc = no such bridge\"]",
        pod.uid
    );
    assert_eq!(agent.told("FailedKillPod", &message), 3);
    machine.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn the_log_of_a_dead_container_goes_with_it_whole_and_those_of_others_stay() {
    let machine = Machine::with(&FakeOptions { log_files: true, ..FakeOptions::default() });
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    let dir = machine.path().join("pods").join(format!("default_{}_{}/main", pod.name, pod.uid));
    for name in
        ["0.log.20240101-000000.gz", "0.log.20240102-000000", "00.log", "10.log", "1.log.20240101-000000.gz"]
    {
        std::fs::write(dir.join(name), name).expect("written");
    }
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
        names.collect::<BTreeSet<String>>()
    };
    let links = machine.path().join("containers");
    let first = names(&links);
    assert_eq!(first.len(), 1);
    for restarts in 1..=2 {
        machine.runtime.exit("main", 1);
        agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(restarts)).await;
    }
    machine.until("the first is removed", |state| state.containers.len() == 2).await;
    let left = ["00.log", "1.log", "1.log.20240101-000000.gz", "10.log", "2.log"];
    assert_eq!(names(&dir), left.map(str::to_owned).into());
    assert_eq!(names(&links).len(), 2);
    assert!(names(&links).is_disjoint(&first));
}

#[tokio::test(start_paused = true)]
async fn logs_that_can_not_be_removed_hold_up_nothing_and_are_left_to_the_sweep_of_orphans() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    let (logs, elsewhere) = (machine.path().join("pods"), machine.path().join("elsewhere"));
    let dir = logs.join(format!("default_{}_{}", pod.name, pod.uid));
    std::fs::rename(&dir, &elsewhere).expect("moved");
    // What is no directory is not removed as one.
    std::os::unix::fs::symlink(&elsewhere, &dir).expect("a link");
    agent.stop(&pod, None);
    agent.until_gone(&pod).await;
    assert!(agent.context.records.get(&pod.uid).is_none());
    assert!(dir.is_symlink());
    assert_eq!(pod_dirs(&agent.context.volumes).expect("listed"), [pod.uid.to_string()], "the proof stays");
}
