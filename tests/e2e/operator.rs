//! What an operator sees follows what happens: `systemctl status`, the log, metrics.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::kit::{Node, daemon_set};

const SPEC: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
";

/// Waits until the service manager is told so.
#[track_caller]
fn wait_told(manager: &UnixDatagram, wanted: &str) {
    let mut told = vec![0; 4096];
    let mut all = String::new();
    while let Ok(length) = manager.recv(&mut told) {
        all.push_str(&String::from_utf8_lossy(&told[..length]));
        if all.contains(wanted) {
            return;
        }
    }
    panic!("never told of {wanted:?}: {all}");
}

/// The value of a metric.
fn metric(node: &Node, name: &str) -> Option<f64> {
    let text = node.agent.says(&["metrics"]);
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn status_line_log_and_metrics_follow_what_happens() {
    let Some(mut node) = Node::prepared("") else { return };
    let socket = node.path("notify.sock");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    node.agent.set("NOTIFY_SOCKET", socket.to_str().unwrap());
    node.apply("app.yaml", daemon_set("app", SPEC));
    node.agent.launch();
    node.agent.wait_ready("app");
    wait_told(&manager, "1 of 1 pods ready");

    let labels = "{namespace=\"test\",daemonset=\"app\"}";
    assert_eq!(metric(&node, &format!("daemonlet_daemonset_available{labels}")), Some(1.0));
    assert_eq!(metric(&node, "daemonlet_runtime_up"), Some(1.0));
    for name in ["store", "runtime"] {
        let listed = metric(&node, &format!("daemonlet_{name}_last_list_timestamp_seconds"));
        assert!(listed.is_some_and(|at| at > 1.7e9), "{name}: {listed:?}");
    }
    assert!(metric(&node, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));

    node.delete("app.yaml");
    wait_told(&manager, "0 of 0 pods ready");
    assert_eq!(metric(&node, "daemonlet_store_changes_total{change=\"removed\"}"), Some(1.0));
    let log = node.agent.log();
    let changes: Vec<&str> = log.lines().filter(|line| line.contains("the store has changed")).collect();
    assert!(
        changes.len() == 2 && changes.iter().all(|line| line.contains("DaemonSet test/app")),
        "{changes:#?}"
    );
    assert!(changes[1].contains("app.yaml"), "{changes:#?}");
}
