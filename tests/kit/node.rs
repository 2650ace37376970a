//! A whole node: a containerd, an agent on it, and the folder of manifests that it follows.

use std::fs;
use std::path::PathBuf;

use super::{Agent, Containerd, Slot};

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
