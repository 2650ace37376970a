//! Pods as their own processes see them: what a container finds inside, in `/proc` and in its cgroups, against what a kubelet's would.

mod environment;
mod identity;
mod last_words;
mod limits;
mod live_updates;
mod mounts;
mod namespaces;
mod network_files;
mod privileges;
mod recent;
mod sub_path;
mod sub_path_race;
mod tear_down;
mod volumes;

use std::collections::BTreeMap;
use std::fs;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::kit::{Node, daemon_set};

/// A line of a pod's spec: a container of busybox. `command` and further `fields` are in YAML's flow style.
fn container(name: &str, command: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { ", " };
    format!("- {{name: {name}, image: 'busybox:1', command: {command}{comma}{fields}}}\n")
}

/// A pod's spec of lines in YAML and of containers.
fn spec(pod: &str, containers: impl IntoIterator<Item = String>) -> String {
    let containers: Vec<String> = containers.into_iter().collect();
    format!("{}\nterminationGracePeriodSeconds: 1\ncontainers:\n{}", pod.trim(), containers.concat())
}

/// The spec of a pod whose containers, each with a name and further fields, do nothing.
fn sleepers(pod: &str, containers: &[(&str, &str)]) -> String {
    spec(pod, containers.iter().map(|(name, fields)| container(name, "[sleep, infinity]", fields)))
}

/// A node whose agent has configuration that depends on the node's own paths.
fn node_with(config: impl FnOnce(&Node) -> String) -> Option<Node> {
    let mut node = Node::prepared("")?;
    fs::write(node.path("config.d/test.yaml"), config(&node)).unwrap();
    node.agent.launch();
    node.agent.wait_until_ready();
    Some(node)
}

/// A pod, looked at from inside.
struct Inside<'a> {
    node: &'a Node,
    pod: Pod,
}

impl<'a> Inside<'a> {
    /// Applies a DaemonSet and waits for its pod.
    #[track_caller]
    fn run(node: &'a Node, name: &str, spec: &str) -> Self {
        node.apply(&format!("{name}.yaml"), daemon_set(name, spec));
        Self::ready(node, name)
    }

    /// The pod of a DaemonSet.
    #[track_caller]
    fn ready(node: &'a Node, name: &str) -> Self {
        Self { node, pod: node.agent.wait_ready(name) }
    }

    /// What a shell in a container prints.
    #[track_caller]
    fn sh(&self, container: &str, script: &str) -> String {
        self.node.exec(&self.pod, container, &["sh", "-c", script])
    }

    /// Whether a shell's command succeeds in a container.
    #[track_caller]
    fn can(&self, container: &str, script: &str) -> bool {
        self.sh(container, &format!("if ({script}) >/dev/null 2>&1; then echo yes; else echo no; fi"))
            == "yes"
    }

    /// A field of `/proc/1/status`, its words apart by one space.
    #[track_caller]
    fn status(&self, container: &str, field: &str) -> String {
        let text = self.sh(container, "cat /proc/1/status");
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value
            .unwrap_or_else(|| panic!("{container} has no {field}: {text}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The line of `/proc/1/mountinfo` for the topmost mount at a path, if there is one.
    #[track_caller]
    fn mount(&self, container: &str, point: &str) -> Option<String> {
        let table = self.sh(container, "cat /proc/1/mountinfo");
        table.lines().rfind(|line| line.split(' ').nth(4) == Some(point)).map(str::to_owned)
    }

    fn uid(&self) -> String {
        self.pod.metadata.uid.clone().unwrap()
    }

    fn name(&self) -> String {
        self.pod.metadata.name.clone().unwrap()
    }

    fn ip(&self) -> String {
        self.pod.status.clone().unwrap_or_default().pod_ip.unwrap_or_default()
    }
}

/// The statuses of a pod's regular containers, by name.
fn statuses(pod: &Pod) -> BTreeMap<String, ContainerStatus> {
    let found = pod.status.as_ref().and_then(|status| status.container_statuses.clone()).unwrap_or_default();
    found.into_iter().map(|status| (status.name.clone(), status)).collect()
}

/// Why a container waits: the reason and the message, empty if it doesn't.
fn waiting(pod: &Pod, container: &str) -> (String, String) {
    let state = statuses(pod).remove(container).and_then(|status| status.state?.waiting);
    state
        .map(|waiting| (waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default()))
        .unwrap_or_default()
}

fn restarts(pod: &Pod, container: &str) -> i32 {
    statuses(pod).get(container).map_or(0, |status| status.restart_count)
}
