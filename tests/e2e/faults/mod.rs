//! What goes wrong below the agent: the node ends exactly right all the same.

mod behind_our_back;
mod clock;
mod disk;
mod many;
mod network;
mod state;
mod stubborn;
mod unresponsive;

use std::os::unix::fs::PermissionsExt as _;

use k8s_openapi::api::core::v1::Pod;

use crate::kit::{Node, daemon_set, wait_until};

const SPEC: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
";

/// The instance of the pod's first container that ended last.
fn dead_instance(pod: &Pod) -> Option<String> {
    let ended = pod.status.as_ref()?.container_statuses.as_ref()?.first()?.last_state.as_ref()?;
    let id = ended.terminated.as_ref()?.container_id.as_ref()?;
    Some(id.trim_start_matches("containerd://").to_owned())
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.clone().unwrap_or_default().container_statuses.unwrap_or_default();
    statuses.iter().map(|status| status.restart_count).sum()
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap()
}

#[test]
fn a_task_that_the_cri_lost_keeps_no_pod_from_going() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    let pod = node.agent.wait_ready("app");
    node.kill(&pod, "main");
    let pod = node.agent.wait_pod("app", "restarted", |pod| dead_instance(pod).is_some());
    let dead = dead_instance(&pod).unwrap();
    // As a StartContainer leaves it whose caller is killed in the midst of it: a task runs, and the CRI takes its container for exited.
    node.containerd.ctr(&["tasks", "start", "--detach", "--null-io", &dead]);
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    wait_until("nothing is left", || node.sandboxes().is_empty() && node.containers().is_empty());
    let tasks = node.containerd.ctr(&["tasks", "list", "--quiet"]);
    assert_eq!(tasks.trim(), "");
}

#[test]
fn a_start_that_was_given_up_in_the_midst_leaves_nothing_running() {
    const ABSENT: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [/program/absent]
  volumeMounts: [{name: program, mountPath: /program}]
volumes:
- name: program
  hostPath: {path: PROGRAM, type: DirectoryOrCreate}
";
    let Some(mut node) = Node::start() else { return };
    let program = node.path("program");
    node.apply("app.yaml", daemon_set("app", &ABSENT.replace("PROGRAM", &program.to_string_lossy())));
    node.agent.wait_pod("app", "failed to start", |pod| dead_instance(pod).is_some());
    node.agent.kill9();
    // What such a start leaves when its caller is killed: the CRI says StartError, and the task came to be all the same.
    let dead = node.containers().first().expect("the container that failed to start").id.clone();
    std::fs::write(program.join("absent"), "#!/bin/sh\nexec sleep 1000000\n").unwrap();
    std::fs::set_permissions(program.join("absent"), std::fs::Permissions::from_mode(0o755)).unwrap();
    node.containerd.ctr(&["tasks", "start", "--detach", "--null-io", &dead]);
    let has_task =
        |id: &str| node.containerd.ctr(&["tasks", "list", "--quiet"]).lines().any(|line| line == id);
    assert!(has_task(&dead));
    node.agent.launch();
    wait_until("the task of the failed start is gone", || !has_task(&dead));
    node.agent.wait_ready("app");
}
