//! Against the fake runtime, in memory and with tokio's time paused: nothing here waits for real.

use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::cri::fake::{FakeOptions, FakeRuntime, Sources};
use crate::cri::proto::{
    ContainerConfig, ContainerMetadata, ImageSpec, PodSandboxConfig, PodSandboxMetadata,
};
use crate::cri::{ContainerId, Method, SandboxId};

struct Watch {
    runtime: FakeRuntime,
    client: CriClient,
    events: Receiver<RuntimeEvent>,
    task: JoinHandle<()>,
}

impl Watch {
    fn of(containerd: bool, cri: bool) -> Self {
        let options = FakeOptions { events: Sources { containerd, cri }, ..FakeOptions::default() };
        let runtime = FakeRuntime::start_with(&options);
        let client = runtime.client();
        let (sender, events) = channel(64);
        let task = tokio::spawn({
            let client = client.clone();
            async move { watch(&client, sender).await }
        });
        Self { runtime, client, events, task }
    }

    async fn next(&mut self) -> RuntimeEvent {
        timeout(Duration::from_secs(5), self.events.recv()).await.unwrap().unwrap()
    }

    async fn silent(&mut self) -> bool {
        timeout(Duration::from_secs(30), self.events.recv()).await.is_err()
    }

    /// A container that runs in a sandbox.
    async fn container(&self) -> (SandboxId, ContainerId) {
        let pod = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: "p".into(),
                uid: "u".into(),
                namespace: "n".into(),
                attempt: 0,
            }),
            ..Default::default()
        };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: "main".into(), attempt: 0 }),
            image: Some(ImageSpec { image: "i".into(), ..Default::default() }),
            ..Default::default()
        };
        self.runtime.preload("i");
        let sandbox = self.client.run_pod_sandbox(pod.clone(), "").await.unwrap();
        let id = self.client.create_container(&sandbox, config, pod).await.unwrap();
        self.client.start_container(&id).await.unwrap();
        (sandbox, id)
    }
}

const CONTAINERD: RuntimeEvent = RuntimeEvent::StreamReady { source: EventSource::Containerd };
const CRI: RuntimeEvent = RuntimeEvent::StreamReady { source: EventSource::Cri };

#[tokio::test(start_paused = true)]
async fn containerds_stream_tells_what_becomes_of_containers() {
    let mut watch = Watch::of(true, true);
    assert_eq!(watch.next().await, CONTAINERD);
    let (sandbox, id) = watch.container().await;
    assert_eq!(watch.next().await, RuntimeEvent::Changed { id: sandbox.as_str().into() });
    assert_eq!(watch.next().await, RuntimeEvent::Changed { id: id.clone() });

    watch.runtime.oom("main");
    assert_eq!(watch.next().await, RuntimeEvent::Oom { id: id.clone() });
    let status = watch.client.container_status(&id).await.unwrap();
    let at = jiff::Timestamp::from_nanosecond(status.finished_at.into()).ok();
    let pid = watch.runtime.read(|state| state.container("main").map(|c| c.pid));
    assert_eq!(watch.next().await, RuntimeEvent::Exited { id: id.clone(), pid, code: Some(137), at });
    watch.client.remove_container(&id).await.unwrap();
    assert_eq!(watch.next().await, RuntimeEvent::Deleted { id });
}

#[tokio::test(start_paused = true)]
async fn a_command_in_a_container_wakes_nobody() {
    let mut watch = Watch::of(true, true);
    assert_eq!(watch.next().await, CONTAINERD);
    let (_, id) = watch.container().await;
    watch.next().await;
    watch.next().await;
    watch.client.exec_sync(&id, &["true".to_owned()], None).await.unwrap();
    assert!(watch.silent().await);
}

#[tokio::test(start_paused = true)]
async fn the_cris_stream_does_where_containerds_is_missing() {
    let mut watch = Watch::of(false, true);
    assert_eq!(watch.next().await, CRI);
    let (sandbox, id) = watch.container().await;
    assert_eq!(watch.next().await, RuntimeEvent::Changed { id: sandbox.as_str().into() });
    assert_eq!(watch.next().await, RuntimeEvent::Changed { id: id.clone() });
    assert_eq!(watch.next().await, RuntimeEvent::Changed { id: id.clone() });
    watch.runtime.exit("main", 3);
    assert!(matches!(watch.next().await, RuntimeEvent::Exited { code: Some(3), pid: None, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_without_streams_is_said_to_have_none_once() {
    let mut watch = Watch::of(false, false);
    assert_eq!(watch.next().await, RuntimeEvent::NoEventSource);
    let asked = watch.runtime.count(Method::GetContainerEvents);
    watch
        .runtime
        .wait_within(ASK_AGAIN * 3, |state| {
            state.calls.iter().filter(|call| call.method() == Method::GetContainerEvents).count() > asked
        })
        .await
        .unwrap();
    assert!(watch.silent().await);
}

#[tokio::test(start_paused = true)]
async fn a_lost_stream_is_told_and_opened_again_as_soon_as_can_be() {
    let mut watch = Watch::of(true, true);
    assert_eq!(watch.next().await, CONTAINERD);
    watch.runtime.outage();
    assert!(matches!(watch.next().await, RuntimeEvent::StreamLost { .. }));
    assert!(watch.silent().await, "only one loss is told");
    watch.runtime.recover().unwrap();
    let back = Instant::now();
    assert_eq!(watch.next().await, CONTAINERD);
    assert!(back.elapsed() <= LONGEST_PAUSE);
    let (sandbox, _) = watch.container().await;
    assert_eq!(watch.next().await, RuntimeEvent::Changed { id: sandbox.as_str().into() });
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_not_there_yet_is_waited_for() {
    let mut watch = Watch::of(true, true);
    watch.runtime.outage();
    assert!(watch.silent().await);
    watch.runtime.recover().unwrap();
    assert_eq!(watch.next().await, CONTAINERD);
}

#[tokio::test(start_paused = true)]
async fn watching_ends_when_nobody_listens() {
    let mut watch = Watch::of(true, true);
    assert_eq!(watch.next().await, CONTAINERD);
    drop(watch.events);
    timeout(Duration::from_secs(1), watch.task).await.unwrap().unwrap();
}
