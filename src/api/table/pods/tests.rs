#![expect(clippy::needless_pass_by_value, reason = "the values are written where they are used")]

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2024-01-01T01:00:00Z";

/// NAME READY STATUS RESTARTS AGE.
fn row(pod: Value) -> [String; 4] {
    let shown = all_cells(pod);
    [1, 2, 3, 4].map(|column| shown[column].clone())
}

fn all_cells(pod: Value) -> Vec<String> {
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let shown = cells(&pod, NOW.parse().unwrap());
    assert_eq!(shown.len(), COLUMNS.len());
    shown
        .into_iter()
        .map(|cell| match cell {
            Cell::Text(text) => text,
            Cell::Number(number) => number.to_string(),
        })
        .collect()
}

fn pod(init: Value, containers: Value, status: Value) -> Value {
    json!({
        "metadata": {"name": "p", "creationTimestamp": "2024-01-01T00:58:00Z"},
        "spec": {"initContainers": init, "containers": containers},
        "status": status,
    })
}

fn running(name: &str, ready: bool) -> Value {
    json!({
        "name": name, "ready": ready, "started": true, "restartCount": 0, "image": "", "imageID": "",
        "state": {"running": {}},
    })
}

fn status(name: &str, state: Value) -> Value {
    json!({"name": name, "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state})
}

#[test]
fn a_pods_status_is_the_most_telling_reason() {
    let two = json!([{"name": "a"}, {"name": "b"}]);
    let terminated = |reason: Value, code: i32, signal: Value| json!({"terminated": {"exitCode": code, "reason": reason, "signal": signal}});
    for (why, statuses, phase, ready, shown) in [
        ("nothing known", json!([]), "Pending", "0/2", "Pending"),
        ("all run", json!([running("a", true), running("b", true)]), "Running", "2/2", "Running"),
        ("one is not ready", json!([running("a", true), running("b", false)]), "Running", "1/2", "Running"),
        (
            "the first container's reason wins",
            json!([
                status("a", json!({"waiting": {"reason": "ImagePullBackOff"}})),
                status("b", json!({"waiting": {"reason": "ContainerCreating"}})),
            ]),
            "Pending",
            "0/2",
            "ImagePullBackOff",
        ),
        (
            "one crashes",
            json!([running("a", true), status("b", json!({"waiting": {"reason": "CrashLoopBackOff"}}))]),
            "Running",
            "1/2",
            "CrashLoopBackOff",
        ),
        (
            "ended with a reason",
            json!([status("a", terminated(json!("OOMKilled"), 137, json!(null)))]),
            "Running",
            "0/2",
            "OOMKilled",
        ),
        (
            "ended by a signal",
            json!([status("a", terminated(json!(null), 137, json!(9)))]),
            "Running",
            "0/2",
            "Signal:9",
        ),
        (
            "ended with a code",
            json!([status("a", terminated(json!(null), 3, json!(0)))]),
            "Running",
            "0/2",
            "ExitCode:3",
        ),
        (
            "one is done and the pod is not ready",
            json!([status("a", terminated(json!("Completed"), 0, json!(null))), running("b", true)]),
            "Running",
            "1/2",
            "NotReady",
        ),
    ] {
        let shown_row =
            row(pod(json!([]), two.clone(), json!({"phase": phase, "containerStatuses": statuses})));
        assert_eq!(shown_row, [ready, shown, "0", "2m"], "{why}");
    }
}

#[test]
fn a_pod_that_initializes_shows_how_far_it_is() {
    let init = json!([{"name": "x"}, {"name": "y"}]);
    let done = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
    for (first, second, shown) in [
        (json!({"waiting": {"reason": "PodInitializing"}}), json!({}), "Init:0/2"),
        (json!({"running": {}}), json!({}), "Init:0/2"),
        (done.clone(), json!({"running": {}}), "Init:1/2"),
        (done.clone(), json!({"waiting": {"reason": "ErrImagePull"}}), "Init:ErrImagePull"),
        (json!({"terminated": {"exitCode": 1, "reason": "Error"}}), json!({}), "Init:Error"),
        (json!({"terminated": {"exitCode": 2}}), json!({}), "Init:ExitCode:2"),
        (json!({"terminated": {"exitCode": 137, "signal": 9}}), json!({}), "Init:Signal:9"),
        (done.clone(), done.clone(), "PodInitializing"),
    ] {
        let shown_row = row(pod(
            init.clone(),
            json!([{"name": "a"}]),
            json!({
                "phase": "Pending",
                "initContainerStatuses": [status("x", first), status("y", second)],
                "containerStatuses": [status("a", json!({"waiting": {"reason": "PodInitializing"}}))],
            }),
        ));
        assert_eq!(shown_row[1], shown);
    }
}

#[test]
fn a_sidecar_counts_as_a_container() {
    let shown_row = row(pod(
        json!([{"name": "proxy", "restartPolicy": "Always"}, {"name": "setup"}]),
        json!([{"name": "a"}]),
        json!({
            "phase": "Running",
            "initContainerStatuses": [
                running("proxy", true),
                status("setup", json!({"terminated": {"exitCode": 0}})),
            ],
            "containerStatuses": [running("a", true)],
        }),
    ));
    assert_eq!(shown_row, ["2/2", "Running", "0", "2m"]);
}

#[test]
fn a_pod_that_waits_for_a_pull_says_how_far_it_is() {
    let waits = |name: &str| json!({"name": name, "state": {"waiting": {"reason": "ContainerCreating"}}});
    let shown = |of: &str| {
        let containers = json!([{"name": "a"}]);
        let mut waiting =
            pod(json!([]), containers, json!({"phase": "Pending", "containerStatuses": [waits("a")]}));
        let pulling =
            json!({"container": of, "image": "x:1", "received": {"bytes": 1_000_000, "of": 2_500_000}});
        waiting["metadata"]["annotations"] = json!({"daemonlet.dev/pulling": pulling.to_string()});
        row(waiting)[1].clone()
    };
    assert_eq!(shown("a"), "ContainerCreating (1.0 MB of 2.5 MB)");
    assert_eq!(shown("b"), "ContainerCreating");
}

#[test]
fn restarts_say_when_the_last_one_was() {
    let restarted = |name: &str, count: i32, finished: &str| {
        let mut container = running(name, true);
        container["restartCount"] = json!(count);
        container["lastState"] = json!({"terminated": {"exitCode": 1, "finishedAt": finished}});
        container
    };
    let statuses =
        json!([restarted("a", 2, "2024-01-01T00:59:55Z"), restarted("b", 1, "2024-01-01T00:59:00Z")]);
    let shown_row = row(pod(
        json!([]),
        json!([{"name": "a"}, {"name": "b"}]),
        json!({"phase": "Running", "containerStatuses": statuses}),
    ));
    assert_eq!(shown_row[2], "3 (5s ago)");
}

#[test]
fn a_pod_that_is_being_deleted_is_terminating_unless_it_has_ended() {
    for (phase, reason, shown) in [
        ("Running", json!(null), "Terminating"),
        ("Succeeded", json!(null), "Succeeded"),
        ("Running", json!("NodeLost"), "Unknown"),
        ("Failed", json!("Evicted"), "Evicted"),
    ] {
        let mut deleted = pod(json!([]), json!([{"name": "a"}]), json!({"phase": phase, "reason": reason}));
        deleted["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:59:00Z");
        assert_eq!(row(deleted)[1], shown);
    }
}

#[test]
fn wide_cells_are_the_address_the_node_and_the_readiness_gates() {
    let mut wide = pod(
        json!([]),
        json!([{"name": "a"}]),
        json!({
            "podIPs": [{"ip": "10.0.0.9"}, {"ip": "fd00::9"}],
            "conditions": [{"type": "example.com/up", "status": "True"}],
        }),
    );
    wide["spec"]["nodeName"] = json!("n");
    wide["spec"]["readinessGates"] = json!([{"conditionType": "example.com/up"}, {"conditionType": "other"}]);
    assert_eq!(all_cells(wide)[5..], ["10.0.0.9", "n", "<none>", "1/2"]);
    let bare = all_cells(pod(json!([]), json!([]), json!({})));
    assert_eq!(bare[5..], ["<none>", "<none>", "<none>", "<none>"]);
}

#[test]
fn a_gated_pod_says_so() {
    let gated = pod(
        json!([]),
        json!([{"name": "a"}]),
        json!({
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
        }),
    );
    assert_eq!(row(gated)[1], "SchedulingGated");
}
