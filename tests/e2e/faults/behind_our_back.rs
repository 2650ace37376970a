//! Shims that are killed, containers and sandboxes that somebody else removes.

use std::time::Duration;

use daemonlet::cri::{ContainerId, SandboxId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::SPEC;
use crate::kit::{Node, container_ids, daemon_set, is_ready};

#[test]
fn a_pod_whose_shim_is_killed_runs_again_and_leaves_nothing_of_the_old() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    node.apply("other.yaml", daemon_set("other", SPEC));
    let before = node.agent.wait_ready("app");
    let other = node.agent.wait_ready("other");
    let sandboxes = node.sandboxes();
    let of_app = |id: &str| {
        sandboxes.iter().any(|it| it.id == id && it.labels.values().any(|it| it.starts_with("app-")))
    };
    let shims: Vec<i32> = node.shims().into_iter().filter(|(id, _)| of_app(id)).map(|(_, pid)| pid).collect();
    assert_eq!(shims.len(), 1);
    kill(Pid::from_raw(shims[0]), Signal::SIGKILL).unwrap();
    let after = node.agent.wait_pod("app", "another container", |pod| {
        is_ready(pod) && container_ids(pod) != container_ids(&before)
    });
    assert_eq!(after.metadata.uid, before.metadata.uid, "the pod is the same");
    node.wait_exact();
    assert_eq!(container_ids(&node.agent.wait_ready("other")), container_ids(&other));
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    node.wait_exact();
}

#[test]
fn a_container_that_somebody_removes_is_made_again_in_the_same_sandbox() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    let before = node.agent.wait_ready("app");
    let sandboxes = node.sandboxes().len();
    let id = ContainerId::from(container_ids(&before)["main"].as_str());
    node.containerd.ask(async |cri| {
        cri.stop_container(&id, Duration::ZERO).await.unwrap();
        // The agent may have removed it already: its successor needs no record of it.
        let _ = cri.remove_container(&id).await;
    });
    let after = node.agent.wait_pod("app", "another container", |pod| {
        is_ready(pod) && container_ids(pod) != container_ids(&before)
    });
    assert_eq!(after.metadata.uid, before.metadata.uid);
    assert_eq!(node.sandboxes().len(), sandboxes);
    node.wait_exact();
}

#[test]
fn a_sandbox_that_somebody_removes_is_made_again_for_the_same_pod() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    let mut before = node.agent.wait_ready("app");
    for round in 1..=2 {
        let old = SandboxId::from(node.sandboxes()[0].id.as_str());
        node.containerd.ask(async |cri| {
            cri.stop_pod_sandbox(&old).await.unwrap();
            // The agent may have removed it already.
            let _ = cri.remove_pod_sandbox(&old).await;
        });
        let after = node.agent.wait_pod("app", "ready in a new sandbox", |pod| {
            is_ready(pod) && container_ids(pod) != container_ids(&before)
        });
        assert_eq!(after.metadata.uid, before.metadata.uid, "round {round}: the pod is the same");
        node.wait_exact();
        assert!(node.sandboxes().iter().all(|sandbox| sandbox.id != old.as_str()), "round {round}");
        before = after;
    }
}
