//! What the runtime says about a pod: its sandboxes and containers, each with what the rules need and nothing else.
//!
//! Values only. The worker fills them from CRI answers (`pod::observe`); the plan and the status read them.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::cri::{ContainerId, SandboxId};

/// Everything the runtime knows of one pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Its sandboxes, newest first.
    pub sandboxes: Vec<Sandbox>,
    /// Its containers of every name and attempt, newest first.
    pub containers: Vec<Container>,
}

/// One pod sandbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Sandbox {
    /// The runtime's id.
    pub id: SandboxId,
    /// Which try it is, from 0.
    pub attempt: u32,
    /// Whether it can hold containers.
    pub state: SandboxState,
    /// Whose network it has.
    pub network: Network,
    /// Its addresses, the primary one first; none on the host's network.
    pub ips: Vec<IpAddr>,
    /// When the runtime made it, in nanoseconds since the epoch; only used to tell which is newer.
    pub created_at: i64,
}

/// Whether a sandbox can hold containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the CRI's own two states")]
pub enum SandboxState {
    Ready,
    NotReady,
}

/// Whose network a sandbox has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Its own.
    Pod,
    /// The node's.
    Host,
}

/// One container, running or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// The runtime's id.
    pub id: ContainerId,
    /// The sandbox it lives in.
    pub sandbox: SandboxId,
    /// The container's name in the pod.
    pub name: String,
    /// Which try it is, from 0: the restart count.
    pub attempt: u32,
    /// What it is doing.
    pub state: ContainerState,
    /// The definition it was made from (`io.kubernetes.container.hash`); `None` where the annotation is missing or garbled.
    pub hash: Option<String>,
    /// The crash-loop delay that follows when it ends.
    pub restart_delay: Duration,
    /// The image's name, as the runtime has it.
    pub image: String,
    /// The image's digest reference.
    pub image_ref: String,
    /// When the runtime made it, in nanoseconds since the epoch; only used to tell which is newer.
    pub created_at: i64,
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum ContainerState {
    /// Made and not started.
    Created,
    /// Its process runs.
    Running {
        /// Since when, by the runtime's clock.
        started_at: Timestamp,
    },
    /// Its process has ended.
    Exited(Exit),
    /// The runtime has lost track of it.
    Unknown,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Exit {
    /// The exit code.
    pub code: i32,
    /// The runtime's word for it: `Completed`, `Error`, `OOMKilled`, `StartError` …
    pub reason: String,
    /// The runtime's message, with the termination message behind it.
    pub message: String,
    /// When it started, by the runtime's clock; `None` if it never did.
    pub started_at: Option<Timestamp>,
    /// When it ended, by the runtime's clock.
    pub finished_at: Timestamp,
}

impl Observed {
    /// The newest container of this name.
    pub fn newest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The newest container of this name that has ended, leaving out the newest of all.
    pub fn last_ended(&self, name: &str) -> Option<(&ContainerId, &Exit)> {
        self.containers.iter().filter(|container| container.name == name).skip(1).find_map(|container| {
            match &container.state {
                ContainerState::Exited(exit) => Some((&container.id, exit)),
                _ => None,
            }
        })
    }

    /// The newest sandbox.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first()
    }

    /// The addresses of the newest sandbox that is ready.
    pub fn pod_ips(&self) -> &[IpAddr] {
        self.sandboxes
            .iter()
            .find(|sandbox| sandbox.state == SandboxState::Ready)
            .map_or(&[], |sandbox| &sandbox.ips)
    }

    /// Every container whose process runs.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|container| container.is_running())
    }

    /// Puts the newest first, as every reader expects. Attempts only rise; the runtime's clock may have been set back between two.
    pub fn sort(&mut self) {
        self.sandboxes.sort_by_key(|sandbox| Reverse((sandbox.attempt, sandbox.created_at)));
        self.containers.sort_by_key(|container| Reverse((container.attempt, container.created_at)));
    }
}

impl Container {
    /// Whether its process runs.
    pub const fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }

    /// How it ended, if it did.
    pub const fn exit(&self) -> Option<&Exit> {
        match &self.state {
            ContainerState::Exited(exit) => Some(exit),
            _ => None,
        }
    }
}

impl Exit {
    /// Whether an init container that ended like this must run again.
    pub fn is_failure(&self) -> bool {
        self.code != 0 || self.reason == "OOMKilled"
    }
}
