//! Sandboxes that can't be made, aren't answered for, or die.

use std::collections::BTreeSet;
use std::time::Duration;

use daemonlet::cri::Method;
use daemonlet::cri::fake::{RecordedCall, Request};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::rig::{Machine, is_ready, one_container, running, status};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_can_not_be_made_is_tried_again_sooner_than_a_kubelet_would() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.fail(Method::RunPodSandbox, 5, "failed to setup network: no IP addresses available");
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    assert_eq!(machine.times(Method::RunPodSandbox), [0.0, 1.0, 3.0, 7.0, 15.0, 25.0]);
    let message = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network: no IP addresses available";
    assert_eq!(agent.told("FailedCreatePodSandBox", message), 5);
}

#[tokio::test(start_paused = true)]
async fn pods_on_the_node_network_do_not_wait_for_the_network() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.set_network_ready(false);
    let mut spec = one_container(&json!({}));
    let waits = agent.run_named("waits", &spec);
    spec["hostNetwork"] = json!(true);
    let starts = agent.run_named("starts", &spec);
    agent.until_ready(&starts).await;
    sleep(s(60)).await;
    assert_eq!(machine.runtime.count(Method::RunPodSandbox), 1);
    let told = agent.events("NetworkNotReady");
    let messages: Vec<_> = told.iter().map(|event| (event.message.as_deref(), event.count)).collect();
    let message = "network is not ready: container runtime network not ready: NetworkReady=false \
        reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
    assert_eq!(messages, [(Some(message), Some(1))]);
    machine.runtime.set_network_ready(true);
    agent.until_ready(&waits).await;
}

#[tokio::test(start_paused = true)]
async fn pods_that_wait_for_the_network_ask_together_and_go_on_together() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.set_network_ready(false);
    let pods = ["a", "b", "c", "d", "e"].map(|name| agent.run_named(name, &one_container(&json!({}))));
    sleep(s(60)).await;
    let before = machine.runtime.count(Method::Status);
    sleep(s(600)).await;
    let asked = machine.runtime.count(Method::Status) - before;
    assert!(asked <= 61, "once in ten seconds for all of them, not {asked} times");
    assert_eq!(machine.runtime.count(Method::RunPodSandbox), 0);
    assert_eq!(agent.events("NetworkNotReady").len(), 5);
    machine.runtime.set_network_ready(true);
    let begun = Instant::now();
    for pod in &pods {
        agent.until_ready(pod).await;
    }
    assert!(begun.elapsed() <= s(13), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_whose_answer_was_lost_is_used_and_not_doubled() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.fail_with(
        Method::RunPodSandbox,
        1,
        Status::deadline_exceeded("context deadline exceeded"),
    );
    let pod = agent.run(&one_container(&json!({})));
    machine
        .until("asked", |state| state.calls.iter().any(|call| call.method() == Method::RunPodSandbox))
        .await;
    // It came to be all the same.
    let asked = machine.runtime.calls().into_iter().find_map(|call| match call.request {
        Request::RunPodSandbox(request) => request.config,
        _ => None,
    });
    machine.runtime.client().run_pod_sandbox(asked.expect("a request"), "").await.expect("made");
    agent.until_ready(&pod).await;
    assert_eq!(machine.runtime.read(|state| state.sandboxes.len()), 1);
    assert_eq!(machine.runtime.count(Method::RunPodSandbox), 2, "the agent's one and the test's own");
}

#[tokio::test(start_paused = true)]
async fn a_container_whose_answer_was_lost_leaves_no_double() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.fail_with(Method::CreateContainer, 1, Status::unavailable("transport is closing"));
    let pod = agent.run(&one_container(&json!({})));
    machine
        .until("asked", |state| state.calls.iter().any(|call| call.method() == Method::CreateContainer))
        .await;
    let asked = machine.runtime.calls().into_iter().find_map(|call| match call.request {
        Request::CreateContainer(request) => Some(*request),
        _ => None,
    });
    let asked = asked.expect("a request");
    let (sandbox, sandbox_config) =
        (asked.pod_sandbox_id.as_str().into(), asked.sandbox_config.expect("a sandbox"));
    let client = machine.runtime.client();
    client.create_container(&sandbox, asked.config.expect("a config"), sandbox_config).await.expect("made");
    agent.until_ready(&pod).await;
    machine.until("only one", |state| state.containers.len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn every_sandbox_is_stopped_before_there_is_another_and_when_the_pod_ends() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    let stopped = || machine.runtime.count(Method::StopPodSandbox);
    for (death, stops) in [(1, 1), (2, 3)] {
        machine.runtime.stop_sandboxes();
        machine
            .until("another", |state| state.sandboxes.iter().any(|it| it.attempt() == death && it.ready))
            .await;
        assert_eq!(stopped(), stops, "the dead one that still has a record, too");
    }
    let kept = machine.runtime.read(|state| state.sandboxes.len());
    agent.stop(&pod, None);
    agent.until_gone(&pod).await;
    assert!(kept > 1);
    assert_eq!(stopped(), 3 + kept);
}

#[tokio::test(start_paused = true)]
async fn what_a_new_sandbox_runs_first_does_not_wait_for_being_killed_with_the_old_one() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    machine.runtime.kill_pauses();
    let since = Instant::now();
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    assert!(since.elapsed() < s(1), "{:?}", since.elapsed());
    sleep(s(5)).await;
    machine.runtime.exit("main", 1);
    let since = Instant::now();
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(2)).await;
    assert!(since.elapsed() < s(1), "its first crash: {:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn init_containers_begin_anew_in_a_new_sandbox() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.autoexit("one", Duration::from_millis(500), &[0]);
    let pod = agent.run(&json!({
        "initContainers": [
            {"name": "one", "image": "registry.example/i:1"},
            {"name": "side", "image": "registry.example/i:1", "restartPolicy": "Always"}],
        "containers": [{"name": "main", "image": "registry.example/app:1"}]}));
    agent.until_ready(&pod).await;
    sleep(s(5)).await;
    machine.runtime.stop_sandboxes();
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    sleep(s(2)).await;
    machine.runtime.stop_sandboxes();
    let since = Instant::now();
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(2)).await;
    assert!(since.elapsed() < s(11), "only main is in back-off: {:?}", since.elapsed());
    sleep(s(2)).await;
    machine.runtime.exit("side", 1);
    let since = Instant::now();
    agent.until(&pod, "the sidecar runs again", |pod| running(pod, "side") == Some(1)).await;
    assert!(since.elapsed() < s(1), "its first crash since: {:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_record_of_an_init_container_that_cannot_be_removed_holds_nothing_up_and_tells_nothing() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.autoexit("one", s(1), &[0]);
    let pod = agent.run(&json!({
        "initContainers": [{"name": "one", "image": "registry.example/i:1"}],
        "containers": [{"name": "main", "image": "registry.example/app:1"}]}));
    agent.until_ready(&pod).await;
    machine.runtime.fail(Method::RemoveContainer, 1, "device or resource busy");
    machine.runtime.stop_sandboxes();
    let since = Instant::now();
    machine.until("another", |state| state.sandboxes.iter().any(|sandbox| sandbox.ready)).await;
    assert!(since.elapsed() < s(1), "{:?}", since.elapsed());
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    let made = machine.runtime.calls().into_iter().filter(|call| call.method() == Method::CreateContainer);
    let made: Vec<_> = made.map(|call| call.container.unwrap_or_default()).collect();
    assert_eq!(made, ["one", "main", "one", "main"], "it runs again in the new sandbox");
}

#[tokio::test(start_paused = true)]
async fn sandboxes_that_keep_dying_come_ever_more_slowly() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    agent.run(&one_container(&json!({})));
    let mut made = 0;
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < s(60) {
        machine.until("a sandbox", |state| state.sandboxes.iter().any(|sandbox| sandbox.ready)).await;
        made += 1;
        machine.runtime.stop_sandboxes();
        sleep(Duration::from_millis(100)).await;
    }
    assert!((11..=16).contains(&made), "{made} sandboxes in a minute");
    machine.until("old ones are removed", |state| state.sandboxes.len() <= 2).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_sandbox_that_can_not_be_removed_holds_up_nothing() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.fail(Method::RemovePodSandbox, 100_000, "device or resource busy");
    let pod = agent.run(&one_container(&json!({})));
    for restarts in 0..6 {
        agent.until(&pod, "restarted", |pod| running(pod, "main") >= Some(restarts)).await;
        machine.runtime.stop_sandboxes();
        agent.until(&pod, "not ready", |pod| !is_ready(pod)).await;
    }
    agent.until_ready(&pod).await;
    assert!(machine.runtime.count(Method::RemovePodSandbox) > 0);
    assert!(machine.runtime.read(|state| state.sandboxes.len()) > 5);
    machine.runtime.fail(Method::RemovePodSandbox, 0, "");
    machine.until("removed in the end", |state| state.sandboxes.len() <= 2).await;
}

/// Only then has the runtime given back its network; whoever stopped it may have died before it was.
#[tokio::test(start_paused = true)]
async fn an_old_sandbox_is_stopped_before_it_is_removed_by_each_agent() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    machine.runtime.stop_sandboxes();
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    drop(agent);
    let agent = machine.start_agent().await;
    agent.until_ready(&pod).await;
    let before = machine.runtime.calls().len();
    machine.runtime.exit("main", 1);
    machine.until("the old one is removed", |state| state.sandboxes.len() == 1).await;
    let calls: Vec<_> = machine.runtime.calls()[before..]
        .iter()
        .filter_map(|call| match &call.request {
            Request::StopPodSandbox(request) => Some(("stop", request.pod_sandbox_id.clone())),
            Request::RemovePodSandbox(request) => Some(("remove", request.pod_sandbox_id.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(calls.iter().map(|(what, _)| *what).collect::<Vec<_>>(), ["stop", "remove"]);
    assert_eq!(calls[0].1, calls[1].1);
}

#[tokio::test(start_paused = true)]
async fn a_second_sandbox_behind_our_back_ends_in_one_usable_one() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    let mut config = machine.runtime.read(|state| state.sandboxes[0].config.clone());
    config.metadata.as_mut().expect("metadata").attempt = 1;
    machine.runtime.client().run_pod_sandbox(config, "").await.expect("made");
    agent.look_again(&pod);
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    machine
        .until("one is ready", |state| state.sandboxes.iter().filter(|sandbox| sandbox.ready).count() == 1)
        .await;
}

/// `SyncPod` goes by the status from before it removed the records, but only for what it starts in the same go.
#[tokio::test(start_paused = true)]
async fn init_containers_run_again_in_a_new_sandbox() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.autoexit("one", s(1), &[0]);
    machine.runtime.autoexit("two", s(1), &[0]);
    let pod = agent.run(&json!({
        "initContainers": [
            {"name": "one", "image": "registry.example/i:1"}, {"name": "two", "image": "registry.example/i:1"}],
        "containers": [{"name": "main", "image": "registry.example/app:1"}]}));
    agent.until_ready(&pod).await;
    machine.runtime.stop_sandboxes();
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    let made: Vec<_> = (machine.runtime.calls().into_iter())
        .filter(|call| call.method() == Method::CreateContainer)
        .map(|call| (call.container.unwrap_or_default(), call.attempt.unwrap_or_default()))
        .collect();
    let expected = [("one", 0), ("two", 0), ("main", 0), ("one", 1), ("two", 0), ("main", 1)];
    assert_eq!(made, expected.map(|(name, attempt)| (name.to_owned(), attempt)));
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_users_of_its_own_keeps_them_over_an_agent_restart_and_gives_them_back() {
    let machine = Machine::boot();
    let mut spec = one_container(&json!({}));
    spec["hostUsers"] = json!(false);
    let agent = machine.start_agent().await;
    let (first, second) = (agent.run_named("first", &spec), agent.run_named("second", &spec));
    agent.until_ready(&first).await;
    agent.until_ready(&second).await;
    drop(agent);
    let mut agent = machine.start_agent().await;
    agent.until_ready(&second).await;
    machine.runtime.step("exit main 1").expect("one ends");
    machine.until("restarted", |state| users_of_containers(&state.calls).len() == 3).await;
    let users = users_of_containers(&machine.runtime.calls());
    let (before, after) = users.split_at(2);
    assert_eq!(before.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&65_536, &131_072]));
    assert!(before.contains(&after[0]), "{users:?}");
    for pod in [&first, &second] {
        agent.stop(pod, None);
        agent.until_gone(pod).await;
    }
    machine.assert_clean();
}

/// What root in each container that was made is on the host.
fn users_of_containers(calls: &[RecordedCall]) -> Vec<u32> {
    let security = calls.iter().filter_map(|call| match &call.request {
        Request::CreateContainer(request) => {
            request.config.as_ref()?.linux.as_ref()?.security_context.as_ref()
        }
        _ => None,
    });
    let options = security.filter_map(|context| context.namespace_options.as_ref()?.userns_options.as_ref());
    options.flat_map(|users| &users.uids).map(|mapping| mapping.host_id).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ran_is_not_pending_again_while_it_waits_for_another_sandbox() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&json!({
        "initContainers": [{"name": "beside", "image": "registry.example/a:1", "restartPolicy": "Always"}],
        "containers": [{"name": "main", "image": "registry.example/b:1"}]}));
    agent.until_ready(&pod).await;
    machine.runtime.fail(Method::RunPodSandbox, 5, "failed to setup network");
    machine.runtime.stop_sandboxes();
    machine
        .until("tried in vain", |state| {
            state.calls.iter().filter(|call| call.method() == Method::RunPodSandbox).count() == 4
        })
        .await;
    assert_eq!(machine.runtime.read(|state| state.containers.len()), 1, "the sidecar's record is gone");
    let shown = agent.pod(&pod).expect("a pod");
    assert_eq!(shown.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Running"));
    let beside = status(&shown, "beside").expect("a status");
    let ended = beside.state.iter().chain(&beside.last_state).find_map(|state| state.terminated.as_ref());
    assert_eq!(ended.map(|ended| ended.exit_code), Some(137), "{beside:#?}");
    agent.until_ready(&pod).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_vanishes_while_it_runs_counts_as_ended() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    machine.runtime.delay(Method::CreateContainer, s(5));
    let id = machine.runtime.read(|state| state.container("main").map(|main| main.id.clone()));
    let id = id.expect("a container").as_str().into();
    machine.runtime.client().remove_container(&id).await.expect("removed");
    agent.look_again(&pod);
    let shown =
        agent.until(&pod, "seen to be gone", |pod| status(pod, "main").is_some_and(|main| !main.ready)).await;
    assert_eq!(shown.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Running"));
    let main = status(&shown, "main").expect("a status");
    let last = main.last_state.as_ref().and_then(|last| last.terminated.as_ref()).expect("a last state");
    assert_eq!((last.exit_code, last.reason.as_deref()), (137, Some("ContainerStatusUnknown")));
    assert_eq!(main.restart_count, 1);
    agent.until_ready(&pod).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_keeps_its_address_until_it_has_another() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    let shown = agent.until_ready(&pod).await;
    let addresses = |pod: &Pod| pod.status.clone().and_then(|status| status.pod_ips).unwrap_or_default();
    let before = addresses(&shown);
    assert_eq!(before.len(), 1);
    machine.runtime.fail(Method::RunPodSandbox, 1000, "no more bridges");
    machine.runtime.stop_sandboxes();
    let down = agent.until(&pod, "down", |pod| !is_ready(pod)).await;
    assert_eq!(addresses(&down), before);
    sleep(s(60)).await;
    assert_eq!(addresses(&agent.pod(&pod).expect("shown")), before, "still without a sandbox");
    machine.runtime.fail(Method::RunPodSandbox, 0, "");
    let again = agent.until_ready(&pod).await;
    let status = again.status.clone().unwrap_or_default();
    assert_eq!(status.pod_ip, addresses(&again).first().map(|address| address.ip.clone()));
    assert_ne!(addresses(&again), before, "each sandbox has an address of its own");
}
