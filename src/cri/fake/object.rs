//! The fake runtime's sandboxes and containers, and how the CRI describes them.

use std::collections::BTreeMap;

use crate::cri::proto::{
    Container, ContainerConfig, ContainerMetadata, ContainerResources, ContainerState, ContainerStatus,
    ImageSpec, LinuxPodSandboxStatus, Namespace, NamespaceMode, PodSandbox, PodSandboxConfig,
    PodSandboxNetworkStatus, PodSandboxState, PodSandboxStatus,
};

/// A sandbox as the fake runtime knows it.
#[derive(Debug, Clone)]
pub struct FakeSandbox {
    /// Its id.
    pub id: String,
    /// What it was run with.
    pub config: PodSandboxConfig,
    /// The runtime handler that was asked for.
    pub handler: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Nanoseconds since the Unix epoch.
    pub created_at: i64,
    pub(super) ip: String,
}

/// A container as the fake runtime knows it.
#[derive(Debug, Clone)]
pub struct FakeContainer {
    /// Its id.
    pub id: String,
    /// Its sandbox's id.
    pub sandbox: String,
    /// What it was created with.
    pub config: ContainerConfig,
    /// Whether it was started, runs, or has ended.
    pub state: ContainerState,
    /// Nanoseconds since the Unix epoch.
    pub created_at: i64,
    /// The same; 0 until it was started.
    pub started_at: i64,
    /// The same; 0 until it has ended.
    pub finished_at: i64,
    /// 0 until it has ended.
    pub exit_code: i32,
    /// Its first process, made up.
    pub pid: u32,
    /// How often `ReopenContainerLog` was called for it.
    pub log_reopened: u32,
    pub(super) oom_killed: bool,
    pub(super) image_id: String,
    pub(super) log_path: String,
}

impl FakeContainer {
    /// Its name in the pod.
    pub fn name(&self) -> &str {
        self.config.metadata.as_ref().map(|m| m.name.as_str()).unwrap_or_default()
    }

    /// Its attempt.
    pub fn attempt(&self) -> u32 {
        self.config.metadata.as_ref().map(|m| m.attempt).unwrap_or_default()
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.state == ContainerState::ContainerRunning
    }

    fn reason(&self) -> &'static str {
        match self.state {
            ContainerState::ContainerExited if self.oom_killed => "OOMKilled",
            ContainerState::ContainerExited if self.exit_code == 0 => "Completed",
            ContainerState::ContainerExited => "Error",
            _ => "",
        }
    }

    fn image(&self) -> ImageSpec {
        let image = self.config.image.as_ref();
        let name = image
            .filter(|i| !i.user_specified_image.is_empty())
            .map(|i| &i.user_specified_image)
            .or(image.map(|i| &i.image));
        ImageSpec { image: name.cloned().unwrap_or_default(), ..Default::default() }
    }

    pub(super) fn listed(&self) -> Container {
        Container {
            id: self.id.clone(),
            pod_sandbox_id: self.sandbox.clone(),
            metadata: Some(ContainerMetadata { name: self.name().to_owned(), attempt: self.attempt() }),
            image: Some(self.image()),
            image_ref: self.image_id.clone(),
            state: self.state.into(),
            created_at: self.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            image_id: self.image_id.clone(),
        }
    }

    pub(super) fn status(&self) -> ContainerStatus {
        ContainerStatus {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: self.state.into(),
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            exit_code: self.exit_code,
            image: Some(self.image()),
            image_ref: self.image_id.clone(),
            reason: self.reason().into(),
            message: String::new(),
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            mounts: self.config.mounts.clone(),
            log_path: self.log_path.clone(),
            resources: Some(ContainerResources {
                linux: self.config.linux.as_ref().and_then(|l| l.resources.clone()),
            }),
            image_id: self.image_id.clone(),
            user: None,
            stop_signal: self.config.stop_signal,
        }
    }
}

impl FakeSandbox {
    /// The pod's name.
    pub fn name(&self) -> &str {
        self.config.metadata.as_ref().map(|m| m.name.as_str()).unwrap_or_default()
    }

    /// The pod's namespace.
    pub fn namespace(&self) -> &str {
        self.config.metadata.as_ref().map(|m| m.namespace.as_str()).unwrap_or_default()
    }

    /// The pod's UID.
    pub fn uid(&self) -> &str {
        self.config.metadata.as_ref().map(|m| m.uid.as_str()).unwrap_or_default()
    }

    /// Its attempt.
    pub fn attempt(&self) -> u32 {
        self.config.metadata.as_ref().map(|m| m.attempt).unwrap_or_default()
    }

    fn state(&self) -> PodSandboxState {
        if self.ready { PodSandboxState::SandboxReady } else { PodSandboxState::SandboxNotready }
    }

    pub(super) fn listed(&self) -> PodSandbox {
        PodSandbox {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: self.state().into(),
            created_at: self.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.handler.clone(),
        }
    }

    pub(super) fn status(&self) -> PodSandboxStatus {
        let options = namespaces(&self.config).cloned();
        PodSandboxStatus {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: self.state().into(),
            created_at: self.created_at,
            network: Some(PodSandboxNetworkStatus { ip: self.ip.clone(), additional_ips: Vec::new() }),
            linux: Some(LinuxPodSandboxStatus { namespaces: Some(Namespace { options }) }),
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.handler.clone(),
        }
    }
}

fn namespaces(config: &PodSandboxConfig) -> Option<&crate::cri::proto::NamespaceOption> {
    config.linux.as_ref()?.security_context.as_ref()?.namespace_options.as_ref()
}

/// Whether a pod shares the node's network and so has no address of its own.
pub(super) fn on_node_network(config: &PodSandboxConfig) -> bool {
    namespaces(config).is_some_and(|options| options.network() == NamespaceMode::Node)
}

/// Whether all of the wanted labels are there.
pub(super) fn matches(wanted: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
