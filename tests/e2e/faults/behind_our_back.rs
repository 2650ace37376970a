//! Shims that are killed, containers and sandboxes that somebody else removes.

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use daemonlet::cri::{ContainerId, SandboxId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::SPEC;
use crate::kit::{Node, container_ids, daemon_set, is_ready, wait_until};

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
        let ready = node.sandboxes().into_iter().find(|sandbox| sandbox.state == 0).unwrap();
        let old = SandboxId::from(ready.id.as_str());
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
        // A container that the agent was quick enough to make in the old one is kept to tell of, and its sandbox with it.
        let is_kept = node.containers().iter().any(|container| container.pod_sandbox_id == old.as_str());
        let is_there = node.sandboxes().iter().any(|sandbox| sandbox.id == old.as_str());
        assert!(is_kept || !is_there, "round {round}");
        before = after;
    }
}

#[test]
fn what_a_killed_containerd_has_forgotten_in_a_pods_cgroup_is_ended() {
    let Some(mut node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    let pod = node.agent.wait_ready("app");
    // As a containerd leaves it that is killed while it starts a sandbox: a process in its cgroup, a shim, and nothing that knows of either.
    let forgotten = "0123456789abcdef".repeat(4);
    node.containerd.kill9();
    let spawn =
        |command: &mut std::process::Command| command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut process = spawn(node.slot().command("sleep").arg("1000000"));
    let mut shim = spawn(node.slot().command("sh").arg0("/usr/bin/containerd-shim-runc-v2").args([
        "-c",
        "read word",
        "-namespace",
        "k8s.io",
        "-id",
        &forgotten,
    ]));
    let uid = pod.metadata.uid.clone().unwrap();
    let of_pod: Vec<String> =
        node.cgroups().into_iter().filter(|path| path.ends_with(&format!("/pod{uid}"))).collect();
    assert!(!of_pod.is_empty());
    for path in &of_pod {
        let directory = std::path::Path::new(path).join(&forgotten);
        std::fs::create_dir(&directory).unwrap();
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(text) = std::fs::read(std::path::Path::new(path).join(file)) {
                std::fs::write(directory.join(file), text).unwrap();
            }
        }
        std::fs::write(directory.join("cgroup.procs"), process.id().to_string()).unwrap();
    }
    node.containerd.restart();
    assert!(!process.wait().unwrap().success());
    assert!(!shim.wait().unwrap().success());
    wait_until("its cgroups are gone", || !node.cgroups().iter().any(|path| path.ends_with(&forgotten)));
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&pod));
    node.wait_exact();
}
