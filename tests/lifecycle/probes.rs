//! Probes and hooks of a pod that runs.

use std::time::Duration;

use daemonlet::cri::Method;
use daemonlet::cri::fake::{Request, State};
use daemonlet::pod::context::News;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::rig::{Machine, is_ready, one_container, running, status, waiting};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn every_change_of_readiness_is_shown_and_told() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let probe = json!({"exec": {"command": ["ready"]}, "periodSeconds": 2, "failureThreshold": 1});
    machine.runtime.step("execcode 1").expect("a step");
    let pod = agent.run(&one_container(&json!({"readinessProbe": probe})));
    machine.until("it runs", |state| state.is_running("main")).await;
    sleep(s(10)).await;
    machine.runtime.step("execcode 0").expect("a step");
    agent.until_ready(&pod).await;
    machine.runtime.step("execcode 1").expect("a step");
    agent.until(&pod, "unready", |pod| !is_ready(pod)).await;
    let now = News::Ready { since: Duration::ZERO };
    assert_eq!(agent.news(), [News::NotReady, now, News::NotReady]);
    assert_eq!(running(&agent.pod(&pod).expect("a pod"), "main"), Some(0), "readiness restarts nothing");
    assert!(agent.events("Unhealthy").iter().any(|event| event.count > Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_stops_being_ready_is_asked_again_at_once() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let probe = json!({"exec": {"command": ["ready"]}, "periodSeconds": 10, "failureThreshold": 1});
    let pod = agent.run(&one_container(&json!({"readinessProbe": probe})));
    agent.until_ready(&pod).await;
    machine.runtime.step("execcode 1").expect("a step");
    agent.until(&pod, "unready", |pod| !is_ready(pod)).await;
    sleep(s(25)).await;
    assert_eq!(machine.times(Method::ExecSync), [0.0, 10.0, 10.0, 20.0, 30.0]);
}

#[tokio::test(start_paused = true)]
async fn probes_are_heard_while_a_pod_stops_and_what_they_tell_is_told_then() {
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let probe = json!({"exec": {"command": ["ready"]}, "periodSeconds": 2, "failureThreshold": 1});
    let mut spec = one_container(&json!({"readinessProbe": probe}));
    spec["terminationGracePeriodSeconds"] = json!(600);
    let pod = agent.run(&spec);
    agent.until_ready(&pod).await;
    machine.runtime.stubborn("main");
    agent.stop(&pod, None);
    sleep(s(100)).await;
    machine.runtime.step("execcode 1").expect("a step");
    let begun = agent.context.clock.wall();
    let unready = agent.until(&pod, "unready", |pod| !is_ready(pod)).await;
    assert!(unready.metadata.deletion_timestamp.is_some() && running(&unready, "main") == Some(0));
    let events = agent.events("Unhealthy");
    let told = events.first().and_then(|event| event.first_timestamp.clone()).expect("an Event");
    assert!(told.0.duration_since(begun).unsigned_abs() < s(5), "{told:?} is not soon after {begun}");
    machine.runtime.step("execcode 0").expect("a step");
    agent.until(&pod, "ready again", is_ready).await;
    agent.until_gone(&pod).await;
}

#[tokio::test(start_paused = true)]
async fn probes_are_heard_while_another_container_is_pulled_or_greeted() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let probe = json!({"exec": {"command": ["ready"]}, "periodSeconds": 2, "failureThreshold": 1});
    let hook = json!({"postStart": {"sleep": {"seconds": 300}}});
    let pod = agent.run(&json!({"terminationGracePeriodSeconds": 600, "containers": [
        {"name": "main", "image": "registry.example/a:1", "readinessProbe": probe},
        {"name": "other", "image": "registry.example/b:1", "imagePullPolicy": "Always", "lifecycle": hook}]}));
    agent.until_ready(&pod).await;
    machine.runtime.delay(Method::PullImage, s(300));
    let pulls = machine.runtime.count(Method::PullImage);
    assert!(machine.runtime.exit("other", 1));
    let is_pulled =
        |state: &State| state.calls.iter().filter(|call| call.method() == Method::PullImage).count() > pulls;
    for doing in ["pulled", "greeted"] {
        match doing {
            "pulled" => machine.until(doing, is_pulled).await,
            _ => machine.until(doing, |state| state.is_running("other")).await,
        }
        let begun = Instant::now();
        for code in [1, 0] {
            machine.runtime.step(&format!("execcode {code}")).expect("a step");
            let is_as_probed = |pod: &Pod| status(pod, "main").is_some_and(|main| main.ready == (code == 0));
            agent.until(&pod, "heard", is_as_probed).await;
        }
        assert!(begun.elapsed() < s(60), "only after it was {doing}: {:?}", begun.elapsed());
    }
    agent.until_ready(&pod).await;
}

#[tokio::test(start_paused = true)]
async fn a_liveness_probe_that_fails_restarts_with_its_own_grace() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let probe = json!({"exec": {"command": ["alive"]}, "periodSeconds": 1, "failureThreshold": 2,
        "terminationGracePeriodSeconds": 3});
    let pod = agent.run(&one_container(&json!({"livenessProbe": probe})));
    agent.until_ready(&pod).await;
    machine.runtime.stubborn("main");
    machine.runtime.step("execcode 1").expect("a step");
    machine
        .until("stopped", |state| state.calls.iter().any(|call| call.method() == Method::StopContainer))
        .await;
    machine.runtime.step("execcode 0").expect("a step");
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    let timeout = machine.runtime.calls().into_iter().find_map(|call| match call.request {
        Request::StopContainer(request) => Some(request.timeout),
        _ => None,
    });
    assert_eq!(timeout, Some(3));
    assert_eq!(agent.told("Killing", "Container main failed liveness probe, will be restarted"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_post_start_hook_that_fails_is_told_and_the_container_comes_again() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.step("execcode 1").expect("a step");
    let hook = json!({"lifecycle": {"postStart": {"exec": {"command": ["hello"]}}}});
    let pod = agent.run(&one_container(&hook));
    let shown = agent.until_waiting(&pod, "main", "PostStartHookError").await;
    let (_, message) = waiting(&shown, "main").expect("waiting");
    assert!(message.starts_with("Exec lifecycle hook ([hello]) for Container \"main\" in Pod"), "{message}");
    agent.until_waiting(&pod, "main", "CrashLoopBackOff").await;
    machine.runtime.step("execcode 0").expect("a step");
    agent.until_ready(&pod).await;
    assert_eq!(machine.times(Method::StartContainer), [0.0, 0.0, 10.0]);
    assert_eq!(agent.told("FailedPostStartHook", "PostStartHook failed"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_post_start_hook_holds_up_the_containers_behind_it() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let hook = json!({"postStart": {"sleep": {"seconds": 7}}});
    let pod = agent.run(&json!({"containers": [
        {"name": "first", "image": "registry.example/a:1", "lifecycle": hook},
        {"name": "second", "image": "registry.example/b:1"}]}));
    agent.until_ready(&pod).await;
    assert_eq!(machine.times(Method::StartContainer), [0.0, 7.0]);
}

/// In real time, as a real server answers.
#[tokio::test]
async fn a_hook_that_falls_back_to_plain_http_is_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let machine = Machine::boot();
    let mut agent = machine.start_agent().await;
    let hook = json!({"httpGet": {"host": "127.0.0.1", "port": port, "path": "/", "scheme": "HTTPS"}});
    let pod = agent.run(&one_container(&json!({"lifecycle": {"postStart": hook, "preStop": hook}})));
    agent.until_ready(&pod).await;
    let message = format!(
        "request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
    );
    assert_eq!(agent.told("LifecycleHTTPFallback", &message), 1);
    agent.stop(&pod, None);
    agent.until_gone(&pod).await;
    assert_eq!(agent.told("LifecycleHTTPFallback", &message), 2);
}
