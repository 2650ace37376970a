//! The runtime service: what the kubelet calls, with the kubelet's deadlines.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::Streaming;

use serde_json::Value;

use super::proto::{
    CgroupDriver, Container, ContainerConfig, ContainerEventResponse, ContainerFilter, ContainerStats,
    ContainerStatsFilter, ContainerStatus, ContainerStatusRequest, CreateContainerRequest, ExecSyncRequest,
    GetEventsRequest, ListContainerStatsRequest, ListContainersRequest, ListPodSandboxRequest, PodSandbox,
    PodSandboxConfig, PodSandboxFilter, PodSandboxStatus, PodSandboxStatusRequest, RemoveContainerRequest,
    RemovePodSandboxRequest, ReopenContainerLogRequest, RunPodSandboxRequest, RuntimeCondition,
    RuntimeConfigRequest, StartContainerRequest, StatusRequest, StatusResponse, StopContainerRequest,
    StopPodSandboxRequest, VersionRequest, VersionResponse,
};
use super::{ContainerId, CriClient, CriError, Method, SandboxId, verify};

/// How much a runtime's status should tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The conditions and features.
    Brief,
    /// Also the runtime's own diagnostics, in `info`.
    Verbose,
}

/// What came of a command that was run in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// Its exit code.
    pub exit_code: i32,
    /// What it wrote to its standard output, as far as the runtime keeps it (16 MiB).
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

impl StatusResponse {
    /// The condition that says whether containers can be run.
    pub const RUNTIME_READY: &str = "RuntimeReady";
    /// The condition that says whether pods can have a network of their own.
    pub const NETWORK_READY: &str = "NetworkReady";

    /// The condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&RuntimeCondition> {
        self.status.as_ref()?.conditions.iter().find(|condition| condition.r#type == kind)
    }
}

impl CriClient {
    /// Who answers; fails unless it is a CRI v1 runtime. The first call an agent makes.
    pub async fn version(&self) -> Result<VersionResponse, CriError> {
        let request = VersionRequest { version: verify::API_VERSION.into() };
        let mut client = self.runtime.clone();
        let answer =
            self.call(Method::Version, "", Some(self.usual()), request, |r| async move {
                client.version(r).await
            })
            .await?;
        Self::verified(Method::Version, "", verify::version(&answer))?;
        Ok(answer)
    }

    /// Whether runtime and network are ready, and what handlers can do.
    pub async fn status(&self, detail: Detail) -> Result<StatusResponse, CriError> {
        let request = StatusRequest { verbose: detail == Detail::Verbose };
        let mut client = self.runtime.clone();
        let answer = self
            .call(Method::Status, "", Some(self.usual()), request, |r| async move { client.status(r).await })
            .await?;
        Self::verified(Method::Status, "", verify::status(&answer))?;
        Ok(answer)
    }

    /// The image that the runtime makes sandboxes from; none if it does not say, as only containerd does.
    pub async fn sandbox_image(&self) -> Result<Option<String>, CriError> {
        let settings = self.settings().await?;
        Ok(settings.and_then(|settings| settings["sandboxImage"].as_str().map(str::to_owned)))
    }

    /// The cgroup driver as containerd's configuration has it, for versions before 2.0, which don't answer [`Self::runtime_config`]; none if
    /// the runtime does not show its configuration.
    pub async fn configured_cgroup_driver(&self) -> Result<Option<CgroupDriver>, CriError> {
        Ok(self.settings().await?.as_ref().and_then(cgroup_driver_in))
    }

    async fn settings(&self) -> Result<Option<Value>, CriError> {
        let status = self.status(Detail::Verbose).await?;
        Ok(status.info.get("config").and_then(|text| serde_json::from_str(text).ok()))
    }

    /// The cgroup driver that the runtime is set to; none when it can not say (before containerd 2.0).
    pub async fn runtime_config(&self) -> Result<Option<CgroupDriver>, CriError> {
        let mut client = self.runtime.clone();
        let answer = self
            .call(Method::RuntimeConfig, "", Some(self.usual()), RuntimeConfigRequest {}, |r| async move {
                client.runtime_config(r).await
            })
            .await;
        match answer {
            Ok(answer) => Ok(answer.linux.map(|linux| linux.cgroup_driver())),
            Err(CriError::Unimplemented { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All sandboxes that carry these labels; every one there is when none is asked for.
    pub async fn list_pod_sandboxes(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<PodSandbox>, CriError> {
        let filter = (!labels.is_empty())
            .then(|| PodSandboxFilter { label_selector: labels.clone(), ..Default::default() });
        let mut client = self.runtime.clone();
        self.call(
            Method::ListPodSandbox,
            "",
            Some(self.usual()),
            ListPodSandboxRequest { filter },
            |r| async move { client.list_pod_sandbox(r).await },
        )
        .await
        .map(|answer| answer.items)
    }

    /// One sandbox in full.
    pub async fn pod_sandbox_status(&self, id: &SandboxId) -> Result<PodSandboxStatus, CriError> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_string(), verbose: false };
        let mut client = self.runtime.clone();
        let answer = self
            .call(Method::PodSandboxStatus, id.as_str(), Some(self.usual()), request, |r| async move {
                client.pod_sandbox_status(r).await
            })
            .await?;
        Self::verified(Method::PodSandboxStatus, id.as_str(), verify::sandbox(answer.status))
    }

    /// Creates and starts a sandbox; `handler` is empty for the runtime's default one. May take twice as long as other calls:
    /// it waits for the network.
    pub async fn run_pod_sandbox(
        &self,
        config: PodSandboxConfig,
        handler: &str,
    ) -> Result<SandboxId, CriError> {
        let name =
            config.metadata.as_ref().map(|m| format!("{}/{}", m.namespace, m.name)).unwrap_or_default();
        let request = RunPodSandboxRequest { config: Some(config), runtime_handler: handler.to_owned() };
        let deadline = Some(self.usual().saturating_mul(2));
        let mut client = self.runtime.clone();
        let answer = self
            .call(Method::RunPodSandbox, &name, deadline, request, |r| async move {
                client.run_pod_sandbox(r).await
            })
            .await?;
        Self::verified(Method::RunPodSandbox, &name, verify::id(&answer.pod_sandbox_id, "pod_sandbox_id"))?;
        Ok(answer.pod_sandbox_id.into())
    }

    /// Stops a sandbox and all that runs in it; fine if it is stopped already.
    pub async fn stop_pod_sandbox(&self, id: &SandboxId) -> Result<(), CriError> {
        let request = StopPodSandboxRequest { pod_sandbox_id: id.to_string() };
        let mut client = self.runtime.clone();
        self.call(Method::StopPodSandbox, id.as_str(), Some(self.usual()), request, |r| async move {
            client.stop_pod_sandbox(r).await
        })
        .await
        .map(drop)
    }

    /// Removes a sandbox; fine if it is gone already.
    pub async fn remove_pod_sandbox(&self, id: &SandboxId) -> Result<(), CriError> {
        let request = RemovePodSandboxRequest { pod_sandbox_id: id.to_string() };
        let mut client = self.runtime.clone();
        self.call(Method::RemovePodSandbox, id.as_str(), Some(self.usual()), request, |r| async move {
            client.remove_pod_sandbox(r).await
        })
        .await
        .map(drop)
    }

    /// All containers that carry these labels; every one there is when none is asked for.
    pub async fn list_containers(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Container>, CriError> {
        let filter = (!labels.is_empty())
            .then(|| ContainerFilter { label_selector: labels.clone(), ..Default::default() });
        let mut client = self.runtime.clone();
        self.call(
            Method::ListContainers,
            "",
            Some(self.usual()),
            ListContainersRequest { filter },
            |r| async move { client.list_containers(r).await },
        )
        .await
        .map(|answer| answer.containers)
    }

    /// What running containers that carry these labels use.
    pub async fn list_container_stats(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<ContainerStats>, CriError> {
        let filter = ContainerStatsFilter { label_selector: labels.clone(), ..Default::default() };
        let request = ListContainerStatsRequest { filter: Some(filter) };
        let mut client = self.runtime.clone();
        self.call(Method::ListContainerStats, "", Some(self.usual()), request, |r| async move {
            client.list_container_stats(r).await
        })
        .await
        .map(|answer| answer.stats)
    }

    /// One container in full.
    pub async fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus, CriError> {
        let request = ContainerStatusRequest { container_id: id.to_string(), verbose: false };
        let mut client = self.runtime.clone();
        let answer = self
            .call(Method::ContainerStatus, id.as_str(), Some(self.usual()), request, |r| async move {
                client.container_status(r).await
            })
            .await?;
        Self::verified(Method::ContainerStatus, id.as_str(), verify::container(answer.status))
    }

    /// Creates a container; `sandbox_config` must equal what the sandbox was run with.
    pub async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: ContainerConfig,
        sandbox_config: PodSandboxConfig,
    ) -> Result<ContainerId, CriError> {
        let name = config.metadata.as_ref().map(|m| m.name.as_str()).unwrap_or_default();
        let object = format!("{name} in sandbox {sandbox}");
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_string(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let mut client = self.runtime.clone();
        let answer = self
            .call(Method::CreateContainer, &object, Some(self.usual()), request, |r| async move {
                client.create_container(r).await
            })
            .await?;
        Self::verified(Method::CreateContainer, &object, verify::id(&answer.container_id, "container_id"))?;
        Ok(answer.container_id.into())
    }

    /// Starts a created container.
    pub async fn start_container(&self, id: &ContainerId) -> Result<(), CriError> {
        let request = StartContainerRequest { container_id: id.to_string() };
        let mut client = self.runtime.clone();
        self.call(Method::StartContainer, id.as_str(), Some(self.usual()), request, |r| async move {
            client.start_container(r).await
        })
        .await
        .map(drop)
    }

    /// Stops a container, killing it after `grace` (whole seconds count); fine if it has ended already.
    pub async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), CriError> {
        let request = StopContainerRequest { container_id: id.to_string(), timeout: whole_seconds(grace) };
        let deadline = Some(self.usual().saturating_add(grace));
        let mut client = self.runtime.clone();
        self.call(Method::StopContainer, id.as_str(), deadline, request, |r| async move {
            client.stop_container(r).await
        })
        .await
        .map(drop)
    }

    /// Removes a container; fine if it is gone already.
    pub async fn remove_container(&self, id: &ContainerId) -> Result<(), CriError> {
        let request = RemoveContainerRequest { container_id: id.to_string() };
        let mut client = self.runtime.clone();
        self.call(Method::RemoveContainer, id.as_str(), Some(self.usual()), request, |r| async move {
            client.remove_container(r).await
        })
        .await
        .map(drop)
    }

    /// Makes the runtime open the container's log file again, after it was moved away.
    pub async fn reopen_container_log(&self, id: &ContainerId) -> Result<(), CriError> {
        let request = ReopenContainerLogRequest { container_id: id.to_string() };
        let mut client = self.runtime.clone();
        self.call(Method::ReopenContainerLog, id.as_str(), Some(self.usual()), request, |r| async move {
            client.reopen_container_log(r).await
        })
        .await
        .map(drop)
    }

    /// Runs a command in a container to its end. The runtime kills it after `timeout` (whole seconds count) and answers
    /// [`CriError::DeadlineExceeded`]; without one nothing bounds it.
    pub async fn exec_sync(
        &self,
        id: &ContainerId,
        command: &[String],
        timeout: Option<Duration>,
    ) -> Result<ExecOutput, CriError> {
        let request = ExecSyncRequest {
            container_id: id.to_string(),
            cmd: command.to_vec(),
            timeout: whole_seconds(timeout.unwrap_or_default()),
        };
        let deadline = timeout.filter(|t| !t.is_zero()).map(|timeout| self.usual().saturating_add(timeout));
        let mut client = self.runtime.clone();
        let answer =
            self.call(Method::ExecSync, id.as_str(), deadline, request, |r| async move {
                client.exec_sync(r).await
            })
            .await?;
        Ok(ExecOutput { exit_code: answer.exit_code, stdout: answer.stdout, stderr: answer.stderr })
    }

    /// The runtime's own event stream (containerd since 1.7). Some runtimes answer only with the first event, so a call that does
    /// not return is one that is subscribed.
    pub async fn container_events(&self) -> Result<Streaming<ContainerEventResponse>, CriError> {
        let mut client = self.runtime.clone();
        self.call(Method::GetContainerEvents, "", None, GetEventsRequest {}, |r| async move {
            client.get_container_events(r).await
        })
        .await
    }
}

/// The CRI counts in whole seconds; the kubelet drops what is beyond them.
fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// The driver of the runtime handler that pods without a `RuntimeClass` get.
fn cgroup_driver_in(settings: &Value) -> Option<CgroupDriver> {
    let containerd = &settings["containerd"];
    let handler = containerd["defaultRuntimeName"].as_str().filter(|name| !name.is_empty()).unwrap_or("runc");
    let is_systemd = containerd["runtimes"][handler]["options"]["SystemdCgroup"].as_bool();
    is_systemd.map(|is_systemd| if is_systemd { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cgroup_driver_is_the_default_handlers() {
        let driver = |default: &str, runc: &Value| {
            let kata = json!({"options": {"SystemdCgroup": true}});
            cgroup_driver_in(&json!({"containerd": {
                "defaultRuntimeName": default, "runtimes": {"runc": {"options": runc}, "kata": kata},
            }}))
        };
        assert_eq!(driver("runc", &json!({"SystemdCgroup": true})), Some(CgroupDriver::Systemd));
        assert_eq!(driver("runc", &json!({"SystemdCgroup": false})), Some(CgroupDriver::Cgroupfs));
        assert_eq!(driver("", &json!({"SystemdCgroup": false})), Some(CgroupDriver::Cgroupfs));
        assert_eq!(driver("kata", &json!({"SystemdCgroup": false})), Some(CgroupDriver::Systemd));
        assert_eq!(driver("runc", &json!(null)), None);
        assert_eq!(cgroup_driver_in(&json!({})), None);
    }
}
