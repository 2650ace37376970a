//! A wall clock that is set, forward and back, while pods run, are probed and back off.

use std::fs;

use k8s_openapi::api::core::v1::Pod;

use super::name;
use crate::kit::{Node, container_ids, daemon_set, faketime_library, is_ready, wait_until};

const PROBED: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
  readinessProbe: {exec: {command: ['true']}, periodSeconds: 1}
  livenessProbe: {exec: {command: ['true']}, periodSeconds: 1, failureThreshold: 1}
";

/// Writes down how long the machine has been up at each of its starts, which no setting of a clock changes.
const CRASHING: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'cut -d \" \" -f 1 /proc/uptime >> /data/starts; exit 1']
  volumeMounts: [{name: data, mountPath: /data}]
volumes:
- name: data
  hostPath: {path: DATA, type: DirectoryOrCreate}
";

/// The longest back-off, which is also the shortest: a crash follows at once on its start.
const BACK_OFF: f64 = 2.0;

fn ready_since(pod: &Pod) -> String {
    let conditions = pod.status.clone().unwrap_or_default().conditions.unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    format!("{:?}", ready.last_transition_time)
}

#[test]
fn a_clock_that_is_set_by_a_day_restarts_nothing_and_moves_no_back_off() {
    let Some(library) = faketime_library() else { return };
    let Some(mut node) = Node::prepared("crashLoopBackOff:\n  maxContainerRestartPeriod: 2s\n") else {
        return;
    };
    let offset = node.path("offset");
    let set_clock = |text: &str| {
        fs::write(offset.with_extension("new"), text).unwrap();
        fs::rename(offset.with_extension("new"), &offset).unwrap();
    };
    set_clock("+0");
    let variables = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", offset.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        // Only the wall's clock is set, as on a real machine.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ("NO_FAKE_STAT", "1".to_owned()),
    ];
    for (name, value) in variables {
        node.agent.set(name, value);
    }
    let data = node.path("data");
    node.apply("probed.yaml", daemon_set("probed", PROBED));
    node.apply(
        "crashing.yaml",
        daemon_set("crashing", &CRASHING.replace("DATA", &data.display().to_string())),
    );
    node.agent.launch();
    let before = node.agent.wait_ready("probed");
    let records = || fs::read_dir(node.path("state/records")).unwrap().flatten();
    let noted = r#"{"type":"Ready","status":"True","#;
    let is_noted =
        || records().any(|it| fs::read_to_string(it.path()).is_ok_and(|text| text.contains(noted)));
    wait_until("its readiness is on record", is_noted);
    let starts = || -> Vec<f64> {
        let text = fs::read_to_string(data.join("starts")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    };
    // What the agent takes for today, in its own log.
    let today =
        |node: &Node| node.agent.log().lines().last().and_then(|line| line.get(..10).map(str::to_owned));
    let mut found_dead = Vec::new();
    for (round, offset) in ["+86400", "-86400", "+0"].into_iter().enumerate() {
        let had = starts().len();
        let day = today(&node);
        set_clock(offset);
        wait_until("two more starts", || starts().len() >= had + 2);
        wait_until("the agent's clock follows", || today(&node) != day);
        let pod = node.agent.wait_ready("probed");
        assert_eq!(container_ids(&pod), container_ids(&before), "set to {offset}");
        assert_eq!(ready_since(&pod), ready_since(&before), "set to {offset}");
        if round == 0 {
            // An agent that comes to a wrong clock keeps them as well. How long ago a container ended that it finds dead, only the wall's
            // clock tells, as it does a kubelet.
            let had = starts().len();
            node.agent.restart();
            wait_until("a start by the new agent", || starts().len() > had);
            found_dead.extend([had, had + 1]);
            assert_eq!(container_ids(&node.agent.wait_ready("probed")), container_ids(&before));
        }
    }
    let starts = starts();
    let pauses = starts.windows(2).map(|pair| pair[1] - pair[0]).enumerate();
    let pauses: Vec<f64> = pauses
        .skip(1)
        .filter_map(|(index, pause)| (!found_dead.contains(&(index + 1))).then_some(pause))
        .collect();
    // The back-off counts from the end, which follows the start.
    assert!(pauses.iter().all(|pause| (BACK_OFF - 0.1..BACK_OFF + 15.0).contains(pause)), "{pauses:?}");
    let pods = node.agent.api.object("/api/v1/events");
    let killings = pods["items"].as_array().unwrap().iter().filter(|event| {
        event["involvedObject"]["name"] == name(&before).as_str()
            && (event["reason"] == "Killing" || event["reason"] == "Unhealthy")
    });
    assert_eq!(killings.count(), 0, "{pods}");
    // The probes go on: when it is no longer ready, that is seen at once.
    node.kill(&before, "main");
    node.agent
        .wait_pod("probed", "restarted", |pod| is_ready(pod) && container_ids(pod) != container_ids(&before));
    node.delete("crashing.yaml");
    node.agent.wait_gone("crashing");
    node.wait_exact();
}
