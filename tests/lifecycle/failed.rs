//! Pods that fail for good: refused by the node, or sacrificed for it.

use std::collections::BTreeSet;
use std::time::Duration;

use daemonlet::cri::Method;
use daemonlet::cri::fake::Request;
use daemonlet::node::PressureKind;
use daemonlet::pod::context::News;
use daemonlet::pod::failure::{Failure, FailureReason, Fault};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::rig::{Machine, one_container, status};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn evicted(grace: u64) -> Failure {
    let message = "The node was low on resource: memory. ".to_owned();
    Failure { reason: FailureReason::Evicted, message, grace: Some(s(grace)), fault: Fault::Node }
}

fn has_failed(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Failed"))
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_sacrificed_ends_in_its_shorter_grace_and_shows_why_until_it_is_removed() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    machine.runtime.stubborn("main");
    let mut spec = one_container(&json!({"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}));
    spec["terminationGracePeriodSeconds"] = json!(600);
    spec["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    let pod = agent.run(&spec);
    agent.until_ready(&pod).await;
    agent.news();
    let told = Instant::now();
    agent.fail(&pod, evicted(5));
    let failed = agent.until(&pod, "failed", has_failed).await;
    assert_eq!(told.elapsed().as_secs(), 5);
    let why = failed.status.clone().unwrap();
    assert_eq!(why.reason.as_deref(), Some("Evicted"));
    assert_eq!(why.message.as_deref(), Some("The node was low on resource: memory. "));
    assert!(failed.metadata.deletion_timestamp.is_none());
    let ended = status(&failed, "main").and_then(|it| it.state.clone()).and_then(|state| state.terminated);
    assert_eq!(ended.map(|ended| ended.exit_code), Some(137));
    machine.until("given back", |state| state.sandboxes.is_empty() && state.containers.is_empty()).await;
    sleep(s(1)).await;
    assert_eq!(agent.news(), [News::NotReady, News::Failed]);
    assert!(!machine.path().join("root/pods").join(pod.uid.as_str()).exists(), "its volumes take room");

    // It fails once, and nothing brings it back.
    agent.fail(&pod, evicted(1));
    agent.look_again(&pod);
    sleep(s(600)).await;
    assert_eq!(agent.pod(&pod).as_deref(), Some(&*failed));
    agent.stop(&pod, None);
    assert_eq!(agent.until_gone(&pod).await, [News::Gone]);
    assert!(agent.pod(&pod).is_none());
    machine.assert_clean();
    assert_eq!(machine.runtime.count(Method::CreateContainer), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_has_failed_stays_so_when_the_agent_is_killed_at_any_moment() {
    for wait in [0, 1, 2, 4, 6, 100] {
        let machine = Machine::boot();
        let agent = machine.start_agent().await;
        machine.runtime.stubborn("main");
        machine.runtime.delay(Method::RemoveContainer, s(1));
        machine.runtime.delay(Method::StopPodSandbox, s(1));
        let pod = agent.run(&one_container(&json!({})));
        agent.until_ready(&pod).await;
        agent.fail(&pod, evicted(2));
        sleep(Duration::from_millis(1) + s(wait)).await;
        drop(agent);
        let mut agent = machine.start_agent().await;
        let failed = agent.until(&pod, "failed", has_failed).await;
        let state = status(&failed, "main").and_then(|it| it.state.clone());
        assert!(state.is_some_and(|state| state.terminated.is_some()), "killed after {wait} s");
        machine.until("given back", |state| state.sandboxes.is_empty()).await;
        sleep(s(30)).await;
        assert_eq!(agent.news().last(), Some(&News::Failed), "killed after {wait} s");
        assert_eq!(machine.runtime.count(Method::CreateContainer), 1, "killed after {wait} s");
        agent.stop(&pod, None);
        agent.until_gone(&pod).await;
        machine.assert_clean();
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_the_node_refuses_fails_before_the_runtime_hears_of_it() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let mut spec = one_container(&json!({}));
    spec["securityContext"] = json!({"sysctls": [{"name": "net.core.somaxconn", "value": "99"}]});
    let pod = agent.run(&spec);
    let failed = agent.until(&pod, "failed", has_failed).await;
    let why = failed.status.clone().unwrap();
    assert_eq!(why.reason.as_deref(), Some("SysctlForbidden"));
    let refusal = "forbidden sysctl: \"net.core.somaxconn\" not allowlisted";
    assert_eq!(why.message, Some(format!("Pod was rejected: {refusal}")));
    assert_eq!(why.container_statuses, None);
    sleep(s(600)).await;
    assert_eq!(agent.told("SysctlForbidden", refusal), 1);
    assert!(agent.news().contains(&News::Failed));
    assert_eq!(machine.runtime.count(Method::RunPodSandbox), 0);
    agent.stop(&pod, None);
    agent.until_gone(&pod).await;
    machine.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_told_to_stop_while_it_fails_has_no_more_time_for_it() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    machine.runtime.stubborn("main");
    let mut spec = one_container(&json!({}));
    spec["terminationGracePeriodSeconds"] = json!(600);
    for fail_first in [true, false] {
        let pod = agent.run_named(if fail_first { "one" } else { "two" }, &spec);
        agent.until_ready(&pod).await;
        let begun = Instant::now();
        if fail_first {
            agent.fail(&pod, evicted(9));
            sleep(s(3)).await;
            agent.stop(&pod, None);
        } else {
            agent.stop(&pod, None);
            sleep(s(3)).await;
            agent.fail(&pod, evicted(9));
        }
        agent.until_gone(&pod).await;
        assert_eq!(begun.elapsed().as_secs(), 12, "{fail_first}");
    }
    machine.assert_clean();
    let stops = machine.runtime.calls().into_iter().filter_map(|call| match call.request {
        Request::StopContainer(request) => Some(request.timeout),
        _ => None,
    });
    assert_eq!(stops.collect::<Vec<_>>(), [9, 9, 600, 9]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fails_softly_ends_sooner_when_it_is_told_again_and_keeps_its_reason() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.stubborn("main");
    let mut spec = one_container(&json!({}));
    spec["terminationGracePeriodSeconds"] = json!(600);
    let pod = agent.run(&spec);
    agent.until_ready(&pod).await;
    let begun = Instant::now();
    agent.fail(&pod, evicted(60));
    sleep(s(3)).await;
    // More time is not given.
    agent.fail(&pod, evicted(90));
    sleep(s(2)).await;
    let mut hard = Failure::terminated(s(1));
    hard.message = "another".to_owned();
    agent.fail(&pod, hard);
    let failed = agent.until(&pod, "failed", has_failed).await;
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert_eq!(failed.status.clone().unwrap().reason.as_deref(), Some("Evicted"));
    let stops = machine.runtime.calls().into_iter().filter_map(|call| match call.request {
        Request::StopContainer(request) => Some(request.timeout),
        _ => None,
    });
    // No container is given less than two seconds.
    assert_eq!(stops.collect::<Vec<_>>(), [60, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_grace_of_a_failure_reaches_the_runtime_but_never_more_than_the_pods_own() {
    for (own, given, reported) in [(600, 1, 2), (600, 120, 120), (30, 120, 30), (600, 0, 2)] {
        let machine = Machine::boot();
        let agent = machine.start_agent().await;
        let mut spec = one_container(&json!({}));
        spec["terminationGracePeriodSeconds"] = json!(own);
        let pod = agent.run(&spec);
        agent.until_ready(&pod).await;
        agent.fail(&pod, evicted(given));
        agent.until(&pod, "failed", has_failed).await;
        let stops = machine.runtime.calls().into_iter().filter_map(|call| match call.request {
            Request::StopContainer(request) => Some(request.timeout),
            _ => None,
        });
        assert_eq!(stops.collect::<Vec<_>>(), [reported], "{own} s of its own, {given} s given");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_while_the_disk_is_short_is_refused_and_one_that_was_there_stays() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let early = agent.run_named("early", &one_container(&json!({})));
    agent.until_ready(&early).await;
    let disk = BTreeSet::from([PressureKind::Disk]);
    agent.pressure.send_modify(|pressure| drop(pressure.become_of(&disk, agent.context.clock.wall())));
    // A pod that was taken stays taken, also when it needs another sandbox.
    machine.runtime.stop_sandboxes();
    let late = agent.run_named("late", &one_container(&json!({})));
    let failed = agent.until(&late, "failed", has_failed).await;
    let why = failed.status.clone().unwrap();
    assert_eq!(why.reason.as_deref(), Some("Evicted"));
    assert_eq!(why.message.as_deref(), Some("Pod was rejected: The node had condition: [DiskPressure]. "));
    assert_eq!(agent.told("Evicted", "The node had condition: [DiskPressure]. "), 1);
    agent.until_ready(&early).await;
}
