//! A pod made by hand: the very requests that the agent makes for it, and nothing around them.

use std::time::SystemTime;

use daemonlet::cri::fake::Request;
use daemonlet::cri::proto::{ContainerConfig, ImageSpec, PodSandboxConfig};
use daemonlet::cri::{ContainerId, CriClient, CriError, SandboxId};

use crate::node::{Node, names};
use crate::subject::Subject;
use crate::{Result, manifest};

/// What the agent asks of a runtime for one pod. Its files are kept for as long as this is.
pub(crate) struct Requests<'a> {
    sandbox: PodSandboxConfig,
    handler: String,
    container: ContainerConfig,
    _files: Node<'a>,
}

/// Lets the agent make a pod on a fake runtime and writes down what it asks.
pub(crate) async fn record(subject: &Subject) -> Result<Requests<'_>> {
    let mut node = Node::new(subject, &names(1))?;
    node.start()?;
    node.running(1).await?;
    node.kill()?;
    let (mut sandbox, mut container) = (None, None);
    for call in node.runtime.calls() {
        match call.request {
            Request::RunPodSandbox(request) => sandbox = Some(*request),
            Request::CreateContainer(request) => container = request.config,
            _ => {}
        }
    }
    let sandbox = sandbox.ok_or("the agent has made no sandbox")?;
    Ok(Requests {
        handler: sandbox.runtime_handler,
        sandbox: sandbox.config.ok_or("the sandbox has no config")?,
        container: container.ok_or("the agent has made no container")?,
        _files: node,
    })
}

/// A pod that was made.
pub(crate) struct Made {
    pub(crate) sandbox: SandboxId,
    /// In milliseconds, from the first request to the moment that the runtime gives as the container's start.
    pub(crate) took: f64,
}

/// Makes the pod under another name. Beside the three calls that make it are those that a kubelet makes: is the image there, does
/// the sandbox run, does the container run.
pub(crate) async fn make(
    cri: &CriClient,
    requests: &Requests<'_>,
    name: &str,
    cgroup: &str,
) -> std::result::Result<Made, CriError> {
    let (mut config, mut container) = (requests.sandbox.clone(), requests.container.clone());
    let metadata = config.metadata.get_or_insert_default();
    (metadata.name, metadata.uid) = (name.to_owned(), name.to_owned());
    // It is not the agent's: no mark, no UID that it would look for.
    config.labels.clear();
    container.labels.clear();
    config.linux.get_or_insert_default().cgroup_parent = format!("{cgroup}/{name}");

    let begun = SystemTime::now();
    let sandbox = cri.run_pod_sandbox(config.clone(), &requests.handler).await?;
    cri.pod_sandbox_status(&sandbox).await?;
    let image = ImageSpec { image: manifest::IMAGE.to_owned(), ..Default::default() };
    let found = cri.image_status(image.clone()).await?.unwrap_or_default();
    container.image = Some(ImageSpec { image: found.id, ..image });
    let id = cri.create_container(&sandbox, container, config).await?;
    cri.start_container(&id).await?;
    let took = since(begun, started(cri, &id).await?);
    Ok(Made { sandbox, took })
}

/// When a container was started, by the runtime's word; 0 if it was not.
pub(crate) async fn started(cri: &CriClient, id: &ContainerId) -> std::result::Result<i64, CriError> {
    cri.container_status(id).await.map(|status| status.started_at)
}

/// From a moment to one in nanoseconds since the Unix epoch, in milliseconds.
pub(crate) fn since(begun: SystemTime, nanoseconds: i64) -> f64 {
    let begun = begun.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (nanoseconds as f64 - begun.as_nanos() as f64) / 1e6
}
