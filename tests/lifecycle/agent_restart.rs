//! Agents that end, by the book or not, and those that come after them.

use std::time::Duration;

use daemonlet::cri::Method;
use daemonlet::pod::context::News;
use serde_json::json;
use tokio::time::sleep;

use crate::rig::{Agent, Machine, is_ready, one_container, running, status};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn made(machine: &Machine) -> (usize, usize) {
    (machine.runtime.count(Method::RunPodSandbox), machine.runtime.count(Method::CreateContainer))
}

#[tokio::test(start_paused = true)]
async fn a_new_agent_keeps_the_containers_and_goes_on_watching_them() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    let before = agent.until_ready(&pod).await;
    sleep(s(60)).await;
    drop(agent);

    let mut agent = machine.start_agent().await;
    let after = agent.until_ready(&pod).await;
    assert_eq!(made(&machine), (1, 1));
    let id = |pod| status(pod, "main").and_then(|main| main.container_id.clone());
    assert_eq!(id(&after), id(&before));
    let since = |pod: &k8s_openapi::api::core::v1::Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        conditions
            .into_iter()
            .find(|condition| condition.type_ == "Ready")
            .and_then(|it| it.last_transition_time)
    };
    assert_eq!(since(&after), since(&before), "it has been Ready all the time");
    let [News::Ready { since }] = agent.news()[..] else { panic!("told once, and as Ready") };
    assert!(since >= s(59), "{since:?}");

    assert!(machine.runtime.exit("main", 1));
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_died_while_no_agent_was_there_is_started_at_once() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    drop(agent);
    sleep(s(1)).await;
    assert!(machine.runtime.exit("main", 7));
    sleep(s(100)).await;
    let agent = machine.start_agent().await;
    let begun = tokio::time::Instant::now();
    let shown = agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(1)).await;
    assert_eq!(begun.elapsed().as_secs(), 0);
    let last = status(&shown, "main").and_then(|main| main.last_state.clone()?.terminated).expect("an end");
    assert_eq!(last.exit_code, 7);
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_goes_on_where_it_was() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.autoexit("main", s(1), &[1]);
    let pod = agent.run(&one_container(&json!({})));
    // Started at 0, 1, 12 and 33 s; the next is due at 74 s.
    agent.until(&pod, "restarted thrice", |pod| running(pod, "main") == Some(3)).await;
    sleep(s(10)).await;
    drop(agent);
    sleep(s(5)).await;
    let agent = machine.start_agent().await;
    let shown = agent.until_waiting(&pod, "main", "CrashLoopBackOff").await;
    assert_eq!(status(&shown, "main").map(|main| main.restart_count), Some(3));
    machine
        .until("restarted twice more", |state| {
            state.calls.iter().filter(|call| call.method() == Method::StartContainer).count() == 6
        })
        .await;
    assert_eq!(machine.times(Method::StartContainer), [0.0, 1.0, 12.0, 33.0, 74.0, 155.0]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_begins_anew_when_the_machine_boots() {
    let mut machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.autoexit("main", s(1), &[1]);
    let pod = agent.run(&one_container(&json!({})));
    agent.until(&pod, "restarted thrice", |pod| running(pod, "main") == Some(3)).await;
    sleep(s(10)).await;
    drop(agent);
    machine.reboot();
    let _agent = machine.start_agent().await;
    machine
        .until("started twice more", |state| {
            state.calls.iter().filter(|call| call.method() == Method::StartContainer).count() == 6
        })
        .await;
    // Without the boot the next would be due at 74 s.
    assert_eq!(machine.times(Method::StartContainer), [0.0, 1.0, 12.0, 33.0, 43.0, 54.0]);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ran_well_for_long_has_no_back_off_from_its_past() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.step("autoexit main 1 1").expect("a step");
    let pod = agent.run(&one_container(&json!({})));
    agent.until(&pod, "restarted twice", |pod| running(pod, "main") == Some(2)).await;
    machine.runtime.autoexit("main", s(100_000), &[1]);
    agent.until(&pod, "restarted thrice", |pod| running(pod, "main") == Some(3)).await;
    sleep(s(2000)).await;
    drop(agent);
    let agent = machine.start_agent().await;
    agent.until_ready(&pod).await;
    assert!(machine.runtime.exit("main", 1));
    let begun = tokio::time::Instant::now();
    agent.until(&pod, "restarted", |pod| running(pod, "main") == Some(4)).await;
    assert_eq!(begun.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_an_agent_began_the_next_one_finishes() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.stubborn("main");
    let pod = agent.run(&one_container(&json!({})));
    agent.until_ready(&pod).await;
    agent.stop(&pod, None);
    machine
        .until("asked", |state| state.calls.iter().any(|call| call.method() == Method::StopContainer))
        .await;
    drop(agent);
    sleep(s(1)).await;
    let mut agent = machine.start_agent().await;
    agent.until_gone(&pod).await;
    machine.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_as_ready_as_it_was_until_a_new_agent_has_probed_it() {
    for (code, was_ready) in [(0, true), (1, false)] {
        let machine = Machine::boot();
        let agent = machine.start_agent().await;
        let probe = json!({"exec": {"command": ["ready"]}, "periodSeconds": 20, "failureThreshold": 1});
        let started = json!({"exec": {"command": ["ready"]}, "periodSeconds": 20, "failureThreshold": 30});
        let pod = agent.run(&one_container(&json!({"readinessProbe": probe, "startupProbe": started})));
        agent.until_ready(&pod).await;
        machine.runtime.step(&format!("execcode {code}")).expect("a step");
        sleep(s(100)).await;
        assert_eq!(is_ready(&agent.pod(&pod).expect("a pod")), was_ready);
        drop(agent);

        machine.runtime.delay(Method::ExecSync, s(1));
        let mut agent = machine.start_agent().await;
        let shown = agent.until(&pod, "looked at", |_| true).await;
        assert_eq!(is_ready(&shown), was_ready);
        assert_eq!(status(&shown, "main").and_then(|main| main.started), Some(true));
        // What is probed then counts.
        machine.runtime.step(&format!("execcode {}", 1 - code)).expect("a step");
        agent.until(&pod, "probed", |pod| is_ready(pod) != was_ready).await;
        assert_eq!(agent.news().len(), 2, "told as it was, then as it is");
        assert_eq!(made(&machine), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_had_started_is_not_killed_by_its_startup_probe_after_a_restart() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let probe = json!({"exec": {"command": ["up"]}, "periodSeconds": 1, "failureThreshold": 1});
    let pod = agent.run(&one_container(&json!({"startupProbe": probe})));
    agent.until_ready(&pod).await;
    sleep(s(60)).await;
    drop(agent);
    machine.runtime.step("execcode 1").expect("a step");
    let asked = machine.runtime.count(Method::ExecSync);
    let agent = machine.start_agent().await;
    agent.until_ready(&pod).await;
    sleep(s(60)).await;
    assert_eq!(running(&agent.pod(&pod).expect("a pod"), "main"), Some(0));
    assert_eq!(machine.runtime.count(Method::ExecSync), asked, "nobody asks again");
}

#[tokio::test(start_paused = true)]
async fn a_new_agent_knows_since_when_each_condition_is_as_it_is() {
    let machine = Machine::boot();
    machine.runtime.step("execcode 1").expect("a step");
    let agent = machine.start_agent().await;
    let probe = json!({"exec": {"command": ["ready"]}, "periodSeconds": 2});
    let pod = agent.run(&one_container(&json!({"readinessProbe": probe})));
    machine.until("it runs", |state| state.is_running("main")).await;
    sleep(s(60)).await;
    let since = |agent: &Agent| -> Vec<_> {
        let pod = agent.pod(&pod).expect("a pod");
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        conditions.into_iter().map(|it| (it.type_, it.status, it.last_transition_time)).collect()
    };
    let before = since(&agent);
    assert_eq!(before.len(), 5);
    drop(agent);
    sleep(s(60)).await;
    let agent = machine.start_agent().await;
    agent.until(&pod, "looked at", |_| true).await;
    sleep(s(60)).await;
    assert_eq!(since(&agent), before);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_by_the_book_leaves_the_newest_readiness() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let probe = json!({"exec": {"command": ["ready"]}, "periodSeconds": 1, "failureThreshold": 1});
    let pod = agent.run(&one_container(&json!({"readinessProbe": probe})));
    agent.until_ready(&pod).await;
    sleep(s(60)).await;
    machine.runtime.step("execcode 1").expect("a step");
    agent.until(&pod, "unready", |pod| !is_ready(pod)).await;
    let records = agent.context.records.clone();
    agent.end().await;
    let standing = records.get(&pod.uid).expect("a record").standing;
    let ready = standing.conditions.iter().find(|condition| condition.type_ == "Ready");
    assert_eq!(ready.map(|ready| ready.status.as_str()), Some("False"));
    assert!(
        standing.containers.values().all(|container| container.started && !container.ready),
        "{standing:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_flaps_writes_nothing() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let probe = json!({"exec": {"command": ["ready"]}, "periodSeconds": 1, "failureThreshold": 1});
    let pod = agent.run(&one_container(&json!({"readinessProbe": probe})));
    agent.until_ready(&pod).await;
    sleep(s(60)).await;
    let file = machine.path().join(format!("root/records/{}.json", pod.uid));
    let written = || std::fs::metadata(&file).and_then(|file| file.modified()).expect("a record");
    let before = written();
    for round in 0..20 {
        machine.runtime.step(&format!("execcode {}", 1 - round % 2)).expect("a step");
        sleep(s(2)).await;
    }
    assert_eq!(written(), before);
}

/// Killed a little later each time, five agents in a row: the pod comes to run all the same, once.
#[tokio::test(start_paused = true)]
async fn an_agent_killed_at_any_moment_doubles_and_loses_nothing() {
    for millis in (10..400).step_by(17) {
        let machine = Machine::boot();
        let mut agent = machine.start_agent().await;
        for method in Method::ALL {
            machine.runtime.delay(*method, Duration::from_millis(37));
        }
        let pod = agent.run(&one_container(&json!({})));
        for _ in 0..5 {
            sleep(Duration::from_millis(millis)).await;
            drop(agent);
            agent = machine.start_agent().await;
        }
        agent.until_ready(&pod).await;
        machine
            .until("settled", |state| {
                state.sandboxes.len() == 1 && state.containers.iter().filter(|c| c.is_running()).count() == 1
            })
            .await;
        agent.stop(&pod, None);
        agent.until_gone(&pod).await;
        sleep(s(60)).await;
        machine.assert_clean();
    }
}
