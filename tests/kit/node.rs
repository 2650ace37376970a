//! A whole node: a containerd, an agent on it, and the folder of manifests that it follows.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use daemonlet::cri::ContainerId;
use daemonlet::cri::proto::{Container, PodSandbox};
use k8s_openapi::api::core::v1::Pod;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Agent, Containerd, Setup, Slot, container_ids, leaks};

/// A node of a test's own. The agent ends before the containerd.
#[derive(Debug)]
pub(crate) struct Node {
    /// The agent.
    pub(crate) agent: Agent,
    /// The runtime.
    pub(crate) containerd: Containerd,
}

impl Node {
    /// Starts a node with nothing to run; nothing where this machine can't run one.
    pub(crate) fn start() -> Option<Self> {
        Self::configured("")
    }

    /// Starts a node whose agent has further configuration.
    pub(crate) fn configured(config: &str) -> Option<Self> {
        let containerd = Containerd::start()?;
        Some(Self { agent: Agent::start(&containerd, config), containerd })
    }

    /// A node whose agent is not yet running, so that it can be given what it is to find.
    pub(crate) fn prepared(config: &str) -> Option<Self> {
        let containerd = Containerd::start()?;
        Some(Self { agent: Agent::prepared(&containerd, config), containerd })
    }

    /// A node with a containerd of this kind whose agent is not yet running.
    pub(crate) fn with(setup: &Setup, config: &str) -> Option<Self> {
        let containerd = Containerd::with(setup)?;
        Some(Self { agent: Agent::prepared(&containerd, config), containerd })
    }

    /// The share of the machine that it uses.
    pub(crate) fn slot(&self) -> &Slot {
        self.containerd.slot()
    }

    /// A path in the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.slot().path(name)
    }

    /// The path of a manifest.
    pub(crate) fn manifest(&self, file: &str) -> PathBuf {
        self.path("manifests").join(file)
    }

    /// Writes a manifest as a careful tool does: whole, and renamed into place.
    pub(crate) fn apply(&self, file: &str, text: impl AsRef<[u8]>) {
        place(&self.manifest(file), text.as_ref());
    }

    /// Deletes a manifest.
    pub(crate) fn delete(&self, file: &str) {
        fs::remove_file(self.manifest(file)).unwrap();
    }

    /// Runs a command in a pod's container, past the agent, and gives what it prints.
    #[track_caller]
    pub(crate) fn exec(&self, pod: &Pod, container: &str, command: &[&str]) -> String {
        let ids = container_ids(pod);
        let id = ContainerId::from(ids[container].as_str());
        let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let output = self.containerd.ask(async |cri| cri.exec_sync(&id, &words, None).await.unwrap());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        assert_eq!(output.exit_code, 0, "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// The first process of a pod's container, as the host counts.
    pub(crate) fn pid(&self, pod: &Pod, container: &str) -> i32 {
        let id = &container_ids(pod)[container];
        let tasks = self.containerd.ctr(&["tasks", "list"]);
        let line = tasks.lines().find(|line| line.starts_with(id.as_str()));
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap().parse().unwrap()
    }

    /// Kills a pod's container as the kernel would.
    pub(crate) fn kill(&self, pod: &Pod, container: &str) {
        kill(Pid::from_raw(self.pid(pod, container)), Signal::SIGKILL).unwrap();
    }

    /// The sandboxes that the runtime has, dead ones included.
    pub(crate) fn sandboxes(&self) -> Vec<PodSandbox> {
        self.containerd.ask(async |cri| cri.list_pod_sandboxes(&BTreeMap::new()).await.unwrap())
    }

    /// The containers that the runtime has, dead ones included.
    pub(crate) fn containers(&self) -> Vec<Container> {
        self.containerd.ask(async |cri| cri.list_containers(&BTreeMap::new()).await.unwrap())
    }

    /// The paths of all cgroups that the test has now.
    pub(crate) fn cgroups(&self) -> Vec<String> {
        leaks::cgroups(&self.slot().network()).iter().map(|path| path.display().to_string()).collect()
    }

    /// Writes `node.yaml` with these labels and taints (in YAML's flow style).
    pub(crate) fn describe(&self, labels: &str, taints: &str) {
        let name = self.slot().node_name();
        let text = format!(
            "apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n  labels: {labels}\nspec:\n  taints: {taints}\n"
        );
        place(&self.path("node.yaml"), text.as_bytes());
    }
}

fn place(path: &std::path::Path, bytes: &[u8]) {
    let name = path.file_name().unwrap().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    fs::write(&temporary, bytes).unwrap();
    fs::rename(temporary, path).unwrap();
}
