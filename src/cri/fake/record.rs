//! What was asked of the fake runtime: every call, whole, with its time.

use tokio::time::Instant;

use crate::cri::Method;
use crate::cri::proto::{
    ContainerStatusRequest, CreateContainerRequest, ExecSyncRequest, GetEventsRequest, ImageFsInfoRequest,
    ImageStatusRequest, ListContainersRequest, ListImagesRequest, ListPodSandboxRequest,
    PodSandboxStatusRequest, PullImageRequest, RemoveContainerRequest, RemoveImageRequest,
    RemovePodSandboxRequest, ReopenContainerLogRequest, RunPodSandboxRequest, RuntimeConfigRequest,
    StartContainerRequest, StatusRequest, StopContainerRequest, StopPodSandboxRequest, VersionRequest,
};

/// One call, in the order of arrival.
#[derive(Debug, Clone)]
pub struct RecordedCall {
    /// When it arrived, by tokio's clock, which a test may have paused.
    pub at: Instant,
    /// The name of the container that it is about, also where the request only has its id.
    pub container: Option<String>,
    /// That container's attempt, or the sandbox's for `RunPodSandbox`.
    pub attempt: Option<u32>,
    /// The whole request.
    pub request: Request,
}

impl RecordedCall {
    /// The method that was called.
    pub fn method(&self) -> Method {
        self.request.method()
    }
}

macro_rules! requests {
    ($($method:ident($message:ty)),* $(,)?) => {
        /// A request as it came over the wire.
        #[derive(Debug, Clone)]
        #[allow(missing_docs)]
        pub enum Request { $($method(Box<$message>)),* }

        impl Request {
            /// The method that it is for.
            pub fn method(&self) -> Method {
                match self { $(Self::$method(_) => Method::$method),* }
            }
        }

        $(impl From<$message> for Request {
            fn from(message: $message) -> Self {
                Self::$method(Box::new(message))
            }
        })*
    };
}

requests! {
    Version(VersionRequest),
    Status(StatusRequest),
    RuntimeConfig(RuntimeConfigRequest),
    RunPodSandbox(RunPodSandboxRequest),
    StopPodSandbox(StopPodSandboxRequest),
    RemovePodSandbox(RemovePodSandboxRequest),
    PodSandboxStatus(PodSandboxStatusRequest),
    ListPodSandbox(ListPodSandboxRequest),
    CreateContainer(CreateContainerRequest),
    StartContainer(StartContainerRequest),
    StopContainer(StopContainerRequest),
    RemoveContainer(RemoveContainerRequest),
    ListContainers(ListContainersRequest),
    ContainerStatus(ContainerStatusRequest),
    ReopenContainerLog(ReopenContainerLogRequest),
    ExecSync(ExecSyncRequest),
    GetContainerEvents(GetEventsRequest),
    ListImages(ListImagesRequest),
    ImageStatus(ImageStatusRequest),
    PullImage(PullImageRequest),
    RemoveImage(RemoveImageRequest),
    ImageFsInfo(ImageFsInfoRequest),
}

impl Request {
    /// The container that the request names by id.
    pub(super) fn container_id(&self) -> Option<&str> {
        match self {
            Self::StartContainer(r) => Some(&r.container_id),
            Self::StopContainer(r) => Some(&r.container_id),
            Self::RemoveContainer(r) => Some(&r.container_id),
            Self::ContainerStatus(r) => Some(&r.container_id),
            Self::ReopenContainerLog(r) => Some(&r.container_id),
            Self::ExecSync(r) => Some(&r.container_id),
            _ => None,
        }
    }

    /// The name and attempt that the request itself gives.
    pub(super) fn identity(&self) -> (Option<String>, Option<u32>) {
        match self {
            Self::RunPodSandbox(r) => {
                let metadata = r.config.as_ref().and_then(|c| c.metadata.as_ref());
                (None, metadata.map(|m| m.attempt))
            }
            Self::CreateContainer(r) => {
                let metadata = r.config.as_ref().and_then(|c| c.metadata.as_ref());
                (metadata.map(|m| m.name.clone()), metadata.map(|m| m.attempt))
            }
            _ => (None, None),
        }
    }
}
