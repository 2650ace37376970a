//! A board filled by hand, and an agent that serves it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::command::{Command, Commands};
use crate::api::{ApiState, Changes, Socket, command, serve};
use crate::board::{Board, EventDraft, EventKind, Metrics, RuntimeStatus, StoreStatus, reference_to};
use crate::manifest::DaemonSetKey;
use crate::placement::decide;
use crate::store::Freshness;

/// Some minutes ago, on a whole second.
pub(crate) fn minutes_ago(minutes: i64) -> Timestamp {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    now.checked_sub(SignedDuration::from_mins(minutes)).unwrap()
}

pub(crate) fn pod(namespace: &str, name: &str) -> Pod {
    from(json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": "uid-1", "labels": {"app": name},
            "creationTimestamp": minutes_ago(30).to_string(),
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "img:1"}]},
        "status": {
            "phase": "Running", "podIP": "10.0.0.5", "podIPs": [{"ip": "10.0.0.5"}], "hostIP": "192.168.1.2",
            "containerStatuses": [{
                "name": "main", "image": "img:1", "imageID": "img@sha256:1", "containerID": "containerd://c0",
                "ready": true, "started": true, "restartCount": 0, "state": {"running": {}},
            }],
        },
    }))
}

pub(crate) fn daemon_set(namespace: &str, name: &str) -> DaemonSet {
    from(json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": "uid-2", "labels": {"app": name},
            "creationTimestamp": minutes_ago(30).to_string(),
        },
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "img:1"}]},
            },
        },
        "status": {
            "desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberReady": 1, "numberMisscheduled": 0,
            "updatedNumberScheduled": 1, "numberAvailable": 1,
        },
    }))
}

pub(crate) fn node() -> Node {
    from(json!({
        "metadata": {
            "name": "node-1", "labels": {"kubernetes.io/hostname": "node-1"},
            "creationTimestamp": minutes_ago(30).to_string(),
        },
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "AgentReady", "message": "all is well"}],
            "addresses": [{"type": "InternalIP", "address": "192.168.1.2"}],
            "capacity": {"cpu": "2", "memory": "4Gi", "pods": "110"},
            "nodeInfo": {
                "kubeletVersion": "v1.34.0", "osImage": "Debian GNU/Linux 12", "kernelVersion": "6.1.0",
                "containerRuntimeVersion": "containerd://2.0.5", "architecture": "amd64", "bootID": "boot",
                "kubeProxyVersion": "", "machineID": "machine", "operatingSystem": "linux", "systemUUID": "system",
            },
        },
    }))
}

pub(crate) fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Two DaemonSets, two pods, the node, an event and what the agent says of itself.
pub(crate) fn board() -> Arc<Board> {
    let board = Board::new("node-1", minutes_ago(40));
    board.put_node(node());
    board.put_daemon_set(daemon_set("default", "web"));
    board.put_daemon_set(daemon_set("kube-system", "logs"));
    board.put_pod(pod("default", "web-x1"));
    board.put_pod(pod("kube-system", "logs-x2"));
    board.record(EventDraft {
        regarding: reference_to(&pod("default", "web-x1")),
        kind: EventKind::Warning,
        reason: "BackOff".into(),
        message: "Back-off restarting failed container".into(),
        component: "kubelet",
        at: minutes_ago(10),
    });
    let mut tainted = node();
    tainted.spec = Some(from(json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]})));
    board.set_explanation(
        DaemonSetKey { namespace: "default".into(), name: "web".into() },
        decide(&tainted, &daemon_set("default", "web")),
    );
    board.set_store_status(StoreStatus {
        source: "/etc/daemonlet/manifests".into(),
        freshness: Freshness::Current,
        objects: 2,
        ..StoreStatus::default()
    });
    board.set_runtime_status(RuntimeStatus {
        endpoint: "unix:///run/containerd/containerd.sock".into(),
        version: "containerd://2.0.5".into(),
        problem: None,
    });
    board.set_met("store");
    Arc::new(board)
}

/// An agent's API on a socket of its own.
pub(crate) struct Agent {
    pub(crate) board: Arc<Board>,
    pub(crate) socket: PathBuf,
    pub(crate) shutdown: CancellationToken,
    pub(crate) root: TempDir,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Agent {
    pub(crate) fn start() -> Self {
        Self::start_with(command::line().0)
    }

    /// One that hands on what it is asked to do.
    pub(crate) fn start_obeying() -> (Self, mpsc::Receiver<Command>) {
        let (commands, orders) = command::line();
        (Self::start_with(commands), orders)
    }

    fn start_with(commands: Commands) -> Self {
        let root = tempfile::tempdir().unwrap();
        let socket = root.path().join("daemonlet.sock");
        let pod_logs_dir = root.path().join("pods");
        let changes = Changes { commands, revisions_dir: pod_logs_dir.clone() };
        let state = state_with(board(), pod_logs_dir, changes);
        let (board, shutdown) = (Arc::clone(&state.board), state.shutdown.clone());
        let serving = tokio::spawn(serve(Socket::bind(&socket).unwrap(), state));
        Self { board, socket, shutdown, root, serving }
    }

    /// Writes the log of a container's attempt, as the runtime does.
    pub(crate) fn write_log(&self, pod: &Pod, container: &str, attempt: u32, lines: &str) {
        write_log(&self.root.path().join("pods"), pod, container, attempt, lines);
    }

    /// Shuts down and waits until everything is served to its end.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

pub(crate) fn state(board: Arc<Board>, pod_logs_dir: PathBuf) -> ApiState {
    let changes = Changes { commands: command::line().0, revisions_dir: pod_logs_dir.clone() };
    state_with(board, pod_logs_dir, changes)
}

fn state_with(board: Arc<Board>, pod_logs_dir: PathBuf, changes: Changes) -> ApiState {
    let metrics = Arc::new(Metrics::new("0.0.0"));
    ApiState::new(board, metrics, pod_logs_dir, "0.0.0", CancellationToken::new(), changes)
}

/// Adds lines to the log of a container's attempt, as the runtime does.
pub(crate) fn write_log(root: &Path, pod: &Pod, container: &str, attempt: u32, lines: &str) {
    let metadata = &pod.metadata;
    let text = |text: &Option<String>| text.clone().unwrap();
    let (namespace, name, uid) = (text(&metadata.namespace), text(&metadata.name), text(&metadata.uid));
    let directory = root.join(format!("{namespace}_{name}_{uid}")).join(container);
    std::fs::create_dir_all(&directory).unwrap();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(directory.join(format!("{attempt}.log")))
        .unwrap();
    for line in lines.lines() {
        writeln!(file, "2024-01-01T00:00:00.000000000Z stdout F {line}").unwrap();
    }
}
