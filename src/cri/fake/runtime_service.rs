//! The fake runtime's answers to the runtime service.

use std::time::Duration;

use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, async_trait};

use super::event::Event;
use super::object::matches;
use super::{CriStream, Served};
use crate::cri::Method;
use crate::cri::proto::runtime_service_server::RuntimeService;
use crate::cri::proto::{
    CgroupDriver, ContainerEventResponse, ContainerStatsRequest, ContainerStatsResponse,
    ContainerStatusRequest, ContainerStatusResponse, CreateContainerRequest, CreateContainerResponse,
    ExecSyncRequest, ExecSyncResponse, GetEventsRequest, LinuxRuntimeConfiguration,
    ListContainerStatsRequest, ListContainerStatsResponse, ListContainersRequest, ListContainersResponse,
    ListPodSandboxRequest, ListPodSandboxResponse, PodSandboxStatusRequest, PodSandboxStatusResponse,
    RemoveContainerRequest, RemoveContainerResponse, RemovePodSandboxRequest, RemovePodSandboxResponse,
    ReopenContainerLogRequest, ReopenContainerLogResponse, RunPodSandboxRequest, RunPodSandboxResponse,
    RuntimeCondition, RuntimeConfigRequest, RuntimeConfigResponse, RuntimeStatus, StartContainerRequest,
    StartContainerResponse, StatusRequest, StatusResponse, StopContainerRequest, StopContainerResponse,
    StopPodSandboxRequest, StopPodSandboxResponse, UpdateContainerResourcesRequest,
    UpdateContainerResourcesResponse, VersionRequest, VersionResponse,
};

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl RuntimeService for Served {
    async fn version(&self, request: Request<VersionRequest>) -> Answer<VersionResponse> {
        self.admit(request.into_inner()).await?;
        Ok(Response::new(VersionResponse {
            version: "0.1.0".into(),
            runtime_name: "fake".into(),
            runtime_version: "1.0.0".into(),
            runtime_api_version: "v1".into(),
        }))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Answer<StatusResponse> {
        self.admit(request.into_inner()).await?;
        let network = self.read(|state| state.network_ready);
        let condition = |kind: &str, status: bool| RuntimeCondition {
            r#type: kind.into(),
            status,
            reason: if status { String::new() } else { "NetworkPluginNotReady".into() },
            message: if status {
                String::new()
            } else {
                "Network plugin returns error: cni plugin not initialized".into()
            },
        };
        let conditions = vec![
            condition(StatusResponse::RUNTIME_READY, true),
            condition(StatusResponse::NETWORK_READY, network),
        ];
        Ok(Response::new(StatusResponse { status: Some(RuntimeStatus { conditions }), ..Default::default() }))
    }

    async fn runtime_config(&self, request: Request<RuntimeConfigRequest>) -> Answer<RuntimeConfigResponse> {
        self.admit(request.into_inner()).await?;
        let linux = LinuxRuntimeConfiguration { cgroup_driver: CgroupDriver::Cgroupfs.into() };
        Ok(Response::new(RuntimeConfigResponse { linux: Some(linux) }))
    }

    async fn run_pod_sandbox(&self, request: Request<RunPodSandboxRequest>) -> Answer<RunPodSandboxResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        let pod_sandbox_id = self.change(|state| state.run_sandbox(request))?;
        Ok(Response::new(RunPodSandboxResponse { pod_sandbox_id }))
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<StopPodSandboxRequest>,
    ) -> Answer<StopPodSandboxResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        self.change(|state| state.stop_sandbox(&request.pod_sandbox_id));
        Ok(Response::new(StopPodSandboxResponse {}))
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<RemovePodSandboxRequest>,
    ) -> Answer<RemovePodSandboxResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        self.change(|state| state.remove_sandbox(&request.pod_sandbox_id));
        Ok(Response::new(RemovePodSandboxResponse {}))
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<PodSandboxStatusRequest>,
    ) -> Answer<PodSandboxStatusResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        let id = request.pod_sandbox_id;
        let status = self.read(|state| {
            state.sandboxes.iter().find(|s| s.id == id).map(super::object::FakeSandbox::status)
        });
        let status = status.ok_or_else(|| {
            Status::not_found(format!("an error occurred when try to find sandbox {id:?}: not found"))
        })?;
        Ok(Response::new(PodSandboxStatusResponse { status: Some(status), ..Default::default() }))
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<ListPodSandboxRequest>,
    ) -> Answer<ListPodSandboxResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        let filter = request.filter.unwrap_or_default();
        let mut items = self
            .read(|state| state.sandboxes.iter().map(super::object::FakeSandbox::listed).collect::<Vec<_>>());
        items.retain(|item| {
            (filter.id.is_empty() || item.id == filter.id)
                && filter.state.is_none_or(|wanted| wanted.state == item.state)
                && matches(&filter.label_selector, &item.labels)
        });
        Ok(Response::new(ListPodSandboxResponse { items }))
    }

    async fn create_container(
        &self,
        request: Request<CreateContainerRequest>,
    ) -> Answer<CreateContainerResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        let container_id = self.change(|state| state.create(request))?;
        Ok(Response::new(CreateContainerResponse { container_id }))
    }

    async fn start_container(
        &self,
        request: Request<StartContainerRequest>,
    ) -> Answer<StartContainerResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        let id = request.container_id;
        if let Some((after, code)) = self.change(|state| state.start(&id))? {
            let shared = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                shared.change(|state| state.exit(&id, code));
            });
        }
        Ok(Response::new(StartContainerResponse {}))
    }

    async fn stop_container(&self, request: Request<StopContainerRequest>) -> Answer<StopContainerResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        let id = request.container_id;
        let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
        let stubborn = self.read(|state| {
            state.get(&id).is_ok_and(|c| c.is_running() && state.script.stubborn.contains(c.name()))
        });
        if stubborn {
            tokio::time::sleep(grace).await;
        }
        let code = if stubborn || grace.is_zero() { 137 } else { 143 };
        self.change(|state| state.exit(&id, code));
        Ok(Response::new(StopContainerResponse {}))
    }

    async fn remove_container(
        &self,
        request: Request<RemoveContainerRequest>,
    ) -> Answer<RemoveContainerResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        self.change(|state| state.remove(&request.container_id));
        Ok(Response::new(RemoveContainerResponse {}))
    }

    async fn list_containers(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Answer<ListContainersResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        let filter = request.filter.unwrap_or_default();
        let mut containers = self.read(|state| {
            state.containers.iter().map(super::object::FakeContainer::listed).collect::<Vec<_>>()
        });
        containers.retain(|container| {
            (filter.id.is_empty() || container.id == filter.id)
                && filter.state.is_none_or(|wanted| wanted.state == container.state)
                && (filter.pod_sandbox_id.is_empty() || container.pod_sandbox_id == filter.pod_sandbox_id)
                && matches(&filter.label_selector, &container.labels)
        });
        Ok(Response::new(ListContainersResponse { containers }))
    }

    async fn container_status(
        &self,
        request: Request<ContainerStatusRequest>,
    ) -> Answer<ContainerStatusResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        let status =
            self.read(|state| state.get(&request.container_id).map(super::object::FakeContainer::status))?;
        Ok(Response::new(ContainerStatusResponse { status: Some(status), ..Default::default() }))
    }

    async fn reopen_container_log(
        &self,
        request: Request<ReopenContainerLogRequest>,
    ) -> Answer<ReopenContainerLogResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        self.change(|state| {
            let container = state.get_mut(&request.container_id)?;
            container.log_reopened += 1;
            let path = container.log_path.clone();
            state.touch_log(&path)
        })?;
        Ok(Response::new(ReopenContainerLogResponse {}))
    }

    async fn exec_sync(&self, request: Request<ExecSyncRequest>) -> Answer<ExecSyncResponse> {
        let request = request.into_inner();
        self.record(request.clone());
        let limit = u64::try_from(request.timeout).ok().filter(|s| *s > 0).map(Duration::from_secs);
        let delay =
            self.read(|state| state.script.delays.get(&Method::ExecSync).copied()).unwrap_or_default();
        if let Some(limit) = limit.filter(|limit| delay > *limit) {
            tokio::time::sleep(limit).await;
            return Err(Status::deadline_exceeded(format!(
                "failed to exec in container: timeout {limit:?} exceeded: context deadline exceeded"
            )));
        }
        self.obey(Method::ExecSync).await?;
        let id = request.container_id;
        let output = self.change(|state| {
            let container = state.get(&id)?;
            if !container.is_running() {
                let state = container.state.as_str_name();
                return Err(Status::unknown(format!(
                    "failed to exec in container: container is in {state} state"
                )));
            }
            let output = state.script.exec.clone();
            state.exec_ended(&id, output.exit_code);
            Ok(output)
        })?;
        Ok(Response::new(ExecSyncResponse {
            stdout: output.stdout,
            stderr: output.stderr,
            exit_code: output.exit_code,
        }))
    }

    async fn update_container_resources(
        &self,
        _: Request<UpdateContainerResourcesRequest>,
    ) -> Answer<UpdateContainerResourcesResponse> {
        Err(Status::unimplemented("method UpdateContainerResources not implemented"))
    }

    async fn container_stats(&self, _: Request<ContainerStatsRequest>) -> Answer<ContainerStatsResponse> {
        Err(Status::unimplemented("method ContainerStats not implemented"))
    }

    async fn list_container_stats(
        &self,
        _: Request<ListContainerStatsRequest>,
    ) -> Answer<ListContainerStatsResponse> {
        Err(Status::unimplemented("method ListContainerStats not implemented"))
    }

    type GetContainerEventsStream = CriStream<ContainerEventResponse>;

    async fn get_container_events(
        &self,
        request: Request<GetEventsRequest>,
    ) -> Answer<Self::GetContainerEventsStream> {
        self.admit(request.into_inner()).await?;
        if !self.read(|state| state.sources.cri) {
            return Err(Status::unimplemented(
                "unknown method GetContainerEvents for service runtime.v1.RuntimeService",
            ));
        }
        let shared = self.clone();
        let answer = move |event: Event| shared.described(&event).into_iter().collect();
        Ok(Response::new(self.events(answer).await))
    }
}

impl Served {
    /// The event as the CRI's stream tells it, with the status of what it is about.
    fn described(&self, event: &Event) -> Option<ContainerEventResponse> {
        let kind = event.cri_type()?;
        self.read(|state| {
            let container = state.containers.iter().find(|c| c.id == event.id);
            let sandbox_id = container.map_or(&event.id, |c| &c.sandbox);
            let sandbox = state.sandboxes.iter().find(|s| s.id == *sandbox_id);
            Some(ContainerEventResponse {
                container_id: event.id.clone(),
                container_event_type: kind.into(),
                created_at: event.at,
                pod_sandbox_status: sandbox.map(super::object::FakeSandbox::status),
                containers_statuses: container
                    .map(super::object::FakeContainer::status)
                    .into_iter()
                    .collect(),
            })
        })
    }

    /// A stream of what `answer` makes of each event. As with grpc-go's servers the answer's headers come with its first
    /// message, so this returns only when there is one, or at once when the stream is over.
    pub(super) async fn events<T: Send + 'static>(
        &self,
        answer: impl Fn(Event) -> Vec<T> + Send + 'static,
    ) -> CriStream<T> {
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        let (out, answers) = tokio::sync::mpsc::unbounded_channel();
        self.change(|state| state.subscribe(sender));
        let (first, told) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut first = Some(first);
            while let Some(event) = events.recv().await {
                for message in answer(event) {
                    if out.send(Ok(message)).is_err() {
                        return;
                    }
                    drop(first.take());
                }
            }
        });
        // Nothing is ever sent: the sender's end is the sign.
        let _: Result<(), _> = told.await;
        UnboundedReceiverStream::new(answers)
    }
}
