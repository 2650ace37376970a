//! Processes that don't do what they are told.

use std::fs;
use std::time::{Duration, Instant};

use super::name;
use crate::kit::{Node, container_ids, daemon_set, is_ready, wait_until};

const DEAF: &str = "
terminationGracePeriodSeconds: 3
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'trap \"\" TERM; while true; do sleep 0.1; done']
";

/// The probe is deaf as well, and recognised by its argument.
const STUCK: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
  readinessProbe:
    exec: {command: [sh, -c, 'trap \"\" TERM INT; while true; do sleep 0.1; done', NEVER]}
    periodSeconds: 1
    timeoutSeconds: 1
";

#[test]
fn a_pod_that_ignores_sigterm_has_its_grace_and_is_killed_and_leaves_nothing() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", DEAF));
    node.agent.wait_ready("app");
    let begun = Instant::now();
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
    node.wait_empty();
    // One whose agent is killed while it waits for the end of the grace.
    node.apply("app.yaml", daemon_set("app", DEAF));
    node.agent.wait_ready("app");
    node.delete("app.yaml");
    node.agent.wait_pod("app", "being deleted", |pod| pod.metadata.deletion_timestamp.is_some());
    node.agent.restart();
    node.agent.wait_gone("app");
    node.wait_empty();
}

#[test]
fn an_exec_probe_that_never_returns_ends_with_its_timeout_and_piles_nothing_up() {
    let Some(node) = Node::start() else { return };
    let mark = format!("never-of-{}", node.slot().node_name());
    node.apply("app.yaml", daemon_set("app", &STUCK.replace("NEVER", &mark)));
    let pod = node.agent.wait_pod("app", "running", |pod| container_ids(pod).contains_key("main"));
    let probes = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let commands = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        // The shim's runc carries the command in a file, so only the probe itself has it as an argument.
        commands
            .filter(|command| command.split(|byte| *byte == 0).any(|word| word == mark.as_bytes()))
            .count()
    };
    let (mut most, mut message) = (0, String::new());
    wait_until("the probe has failed four times", || {
        most = most.max(probes());
        let events = node.agent.api.object("/api/v1/events");
        let unhealthy = events["items"].as_array().unwrap().iter().find(|event| {
            event["reason"] == "Unhealthy" && event["involvedObject"]["name"] == name(&pod).as_str()
        });
        let Some(unhealthy) = unhealthy else { return false };
        message = unhealthy["message"].as_str().unwrap_or_default().to_owned();
        unhealthy["count"].as_i64() >= Some(4)
    });
    assert!(
        message.starts_with("Readiness probe failed: ") && message.contains("timed out after 1s"),
        "{message}"
    );
    assert!((1..=2).contains(&most), "{most} probes at once");
    let status = node.agent.wait_pod("app", "not ready", |pod| !is_ready(pod));
    assert_eq!(container_ids(&status), container_ids(&pod), "a readiness probe restarts nothing");
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    assert_eq!(probes(), 0);
    node.wait_empty();
}
