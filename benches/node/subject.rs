//! What is measured: daemonlet's agent, or a kubelet in standalone mode.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::{Result, manifest};

/// A node agent to be measured.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    binary: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Daemonlet,
    Kubelet,
}

/// Where an agent finds and keeps everything.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) runtime: &'a Path,
    pub(crate) cgroup: &'a str,
}

/// The binary as it ships. cargo's own for benchmarks has other profile settings and the test doubles in it.
pub(crate) fn daemonlet() -> Result<Subject> {
    let kind = Kind::Daemonlet;
    if let Some(binary) = std::env::var_os("DAEMONLET") {
        return Ok(Subject { kind, binary: binary.into() });
    }
    eprintln!("building the release binary");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--bin", "daemonlet", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err(format!("cargo build --release: {status}").into());
    }
    Ok(Subject { kind, binary: target.join("release/daemonlet") })
}

/// The kubelet to compare with, where one is given.
pub(crate) fn kubelet() -> Option<Subject> {
    let binary = std::env::var_os("KUBELET")?;
    Some(Subject { kind: Kind::Kubelet, binary: binary.into() })
}

impl Subject {
    /// What it calls itself, with its version.
    pub(crate) fn version(&self) -> String {
        let answer = Command::new(&self.binary).arg("--version").output().map(|output| output.stdout);
        let text = String::from_utf8_lossy(&answer.unwrap_or_default()).into_owned();
        text.lines().next().unwrap_or("unknown").to_owned()
    }

    /// How large its binary is, in megabytes.
    pub(crate) fn size(&self) -> Result<Vec<f64>> {
        let size =
            fs::metadata(&self.binary).map_err(|error| format!("{}: {error}", self.binary.display()))?.len();
        Ok(vec![size as f64 / 1e6])
    }

    /// One pod, as this agent reads it.
    pub(crate) fn manifest(&self, name: &str, spec: &Value) -> Value {
        match self.kind {
            Kind::Daemonlet => manifest::daemon_set(name, spec),
            Kind::Kubelet => manifest::static_pod(name, spec),
        }
    }

    /// Writes its configuration and says how to run it.
    pub(crate) fn prepare(&self, place: &Place<'_>) -> Result<Command> {
        let config = match self.kind {
            Kind::Daemonlet => daemonlet_config(place),
            Kind::Kubelet => kubelet_config(place),
        };
        let file = place.dir.join("config.yaml");
        fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
        let mut command = Command::new(&self.binary);
        match self.kind {
            Kind::Daemonlet => {
                command.arg("agent").arg("--config").arg(file);
            }
            Kind::Kubelet => {
                command.arg("--config").arg(file).arg("--root-dir").arg(place.dir.join("state"));
                command.args(["--hostname-override", "bench", "--v=0"]);
            }
        }
        Ok(command)
    }
}

fn daemonlet_config(place: &Place<'_>) -> Value {
    let dir = place.dir;
    json!({
        "nodeName": "bench",
        "nodeFile": dir.join("node/node.yaml"),
        "rootDir": dir.join("state"),
        "store": {"path": dir.join("manifests")},
        "containerRuntimeEndpoint": format!("unix://{}", place.runtime.display()),
        "apiSocket": dir.join("api.sock"),
        "podLogsDir": dir.join("pod-logs"),
        "containerLogsDir": dir.join("container-logs"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": place.cgroup,
        "maxPods": 250,
        "logging": {"format": "text"},
        // How full this machine's disk is decides nothing here.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": no_eviction(),
    })
}

/// A kubelet without an API server; what it would do beside running pods is off, in its favour.
fn kubelet_config(place: &Place<'_>) -> Value {
    let dir = place.dir;
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "staticPodPath": dir.join("manifests"),
        "containerRuntimeEndpoint": format!("unix://{}", place.runtime.display()),
        "podLogsDir": dir.join("pod-logs"),
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "enableServer": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": place.cgroup,
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "failCgroupV1": false,
        "localStorageCapacityIsolation": false,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": no_eviction(),
        "maxPods": 250,
    })
}

fn no_eviction() -> Value {
    json!({"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"})
}
