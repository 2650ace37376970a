//! A containerd that answers late or not at all.

use std::time::{Duration, Instant};

use super::{SPEC, restarts};
use crate::kit::{Node, Relay, container_ids, daemon_set, is_ready};

#[test]
fn a_containerd_that_hangs_while_pods_start_and_stop_leaves_no_double_and_no_remnant() {
    let Some(mut node) = Node::configured("runtimeRequestTimeout: 2s\nstore: {emptyHold: 1s}\n") else {
        return;
    };
    node.apply("stays.yaml", daemon_set("stays", SPEC));
    let stays = container_ids(&node.agent.wait_ready("stays"));
    // Later each time, until the start or the stop has been caught in each of its parts.
    for milliseconds in [50, 150, 300, 600] {
        node.apply("comes.yaml", daemon_set("comes", SPEC));
        std::thread::sleep(Duration::from_millis(milliseconds));
        node.containerd.pause();
        // Longer than a request may take.
        std::thread::sleep(Duration::from_millis(2500));
        node.containerd.resume();
        node.agent.wait_ready("comes");
        node.wait_exact();
        node.delete("comes.yaml");
        std::thread::sleep(Duration::from_millis(milliseconds));
        node.containerd.pause();
        // A new agent finds a runtime that doesn't answer, and waits for it.
        node.agent.kill9();
        node.agent.launch();
        std::thread::sleep(Duration::from_millis(500));
        node.containerd.resume();
        node.agent.wait_gone("comes");
        node.wait_exact();
    }
    assert_eq!(container_ids(&node.agent.wait_ready("stays")), stays);
}

#[test]
fn a_containerd_that_answers_slowly_is_waited_for_and_asked_no_more_than_a_quick_one() {
    let Some(mut node) = Node::prepared("") else { return };
    let relay = Relay::start(&node.path("slow.sock"), &node.containerd.socket());
    let config = format!("containerRuntimeEndpoint: unix://{}\n", relay.path().display());
    node.agent.configure(&config);
    node.agent.launch();
    node.agent.wait_until_ready();
    relay.slow_down(Duration::from_millis(400));
    let begun = Instant::now();
    node.apply("app.yaml", daemon_set("app", SPEC));
    let first = node.agent.wait_ready("app");
    // Making a sandbox, making a container and starting it are three answers.
    assert!(begun.elapsed() > Duration::from_millis(1200), "the relay doesn't delay: {:?}", begun.elapsed());
    node.wait_exact();
    node.kill(&first, "main");
    let pod = node.agent.wait_pod("app", "restarted", |pod| is_ready(pod) && restarts(pod) == 1);
    node.agent.restart();
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&pod));
    node.apply("app.yaml", daemon_set("app", &SPEC.replace("infinity", "'100000'")));
    node.agent.wait_pod("app", "replaced", |new| is_ready(new) && new.metadata.uid != pod.metadata.uid);
    node.wait_exact();
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    node.wait_empty();
}
