//! What can only be seen from inside a worker. How it lives is tested from outside, in `tests/lifecycle`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::memory::Retry;
use super::*;
use crate::cri::Method;
use crate::cri::fake::{FakeRuntime, Request};
use crate::image::Received;
use crate::manifest::DaemonSetKey;
use crate::pod::disruption::Cause;
use crate::pod::identity::Incarnation;
use crate::pod::status::Waiting;
use crate::pod::testing;
use crate::preload::Preload;
use crate::rollout::RevisionHash;

fn context(runtime: &FakeRuntime, dir: &Path) -> PodContext {
    testing::context(runtime, dir, mpsc::unbounded_channel().0)
}

fn record() -> PodRecord {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "u-1", "annotations": {"example.org/key": "value"}},
        "spec": {"containers": [{"name": "main", "image": "registry.example/app:1"}]},
    }))
    .expect("a pod");
    PodRecord::new(
        PodUid::parse("u-1").expect("a uid"),
        DaemonSetKey { namespace: "default".into(), name: "a".into() },
        (RevisionHash::from_label("r"), 1),
        Incarnation(1),
        Timestamp::UNIX_EPOCH,
        pod,
    )
}

/// `Always` asks a registry at each start, and waits for it ever longer; what an archive has is no reason to wait.
#[tokio::test]
async fn a_back_off_ends_when_an_archive_brings_the_image_and_no_other() {
    let runtime = FakeRuntime::start();
    let dir = tempfile::tempdir().expect("a folder");
    let (orders, inbox) = (watch::channel(Orders::Run).1, Arc::default());
    let mut context = context(&runtime, dir.path());
    context.preload = Preload::with(["registry.example/app:1".to_owned()]);
    let mut worker = Worker::new(Arc::new(context), record(), None, orders, inbox);
    for image in ["registry.example/app:1", "registry.example/other:1"] {
        worker.pulls.insert(image.to_owned(), image::PullMemory::default());
    }
    worker.look_for_images();
    assert_eq!(worker.pulls.len(), 2, "nobody waits for an image");
    let waiting = Waiting { reason: "ImagePullBackOff".into(), message: String::new() };
    worker.memory.note_failure("main", waiting, Retry::After(Duration::from_secs(300)));
    worker.look_for_images();
    assert_eq!(worker.pulls.keys().collect::<Vec<_>>(), ["registry.example/other:1"]);
    assert_eq!(plan::Memory::retry_delay(&worker.memory, "main"), Duration::ZERO);
}

/// A node has a hundred of them, nearly always waiting: what they need only while they act is on the heap while they do.
#[tokio::test]
async fn a_worker_that_waits_is_small() {
    let runtime = FakeRuntime::start();
    let dir = tempfile::tempdir().expect("a folder");
    let (orders, inbox) = (watch::channel(Orders::Run).1, Arc::default());
    let worker = Worker::new(Arc::new(context(&runtime, dir.path())), record(), None, orders, inbox);
    let own = std::mem::size_of_val(&worker);
    let running = std::mem::size_of_val(&Box::new(worker).run());
    assert!(own <= 1536 && running <= 1024, "{own} bytes and {running} bytes");
}

#[tokio::test]
async fn the_runtime_is_asked_for_an_image_with_the_pods_annotations() {
    let runtime = FakeRuntime::start();
    runtime.preload("registry.example/app:1");
    let dir = tempfile::tempdir().expect("a folder");
    let (orders, inbox) = (watch::channel(Orders::Run).1, Arc::default());
    let mut worker = Worker::new(Arc::new(context(&runtime, dir.path())), record(), None, orders, inbox);
    let container = worker.container("main").expect("a container").clone();
    assert!(worker.ensure_image(&container).await.is_ok());
    let asked = runtime.calls().into_iter().find_map(|call| match call.request {
        Request::ImageStatus(request) => request.image,
        _ => None,
    });
    let asked = asked.expect("asked");
    assert_eq!(asked.image, "registry.example/app:1");
    assert_eq!(asked.annotations, [("example.org/key".to_owned(), "value".to_owned())].into());
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_was_broken_off_is_on_show_no_longer_when_the_pod_ends() {
    let runtime = FakeRuntime::start();
    let dir = tempfile::tempdir().expect("a folder");
    let stop = Orders::Stop { cause: Cause::from("the test says so"), grace: None };
    let (_orders, orders) = watch::channel(stop);
    let mut worker =
        Worker::new(Arc::new(context(&runtime, dir.path())), record(), None, orders, Arc::default());
    let received = Received { bytes: 1, of: 2 };
    worker.pulling = Some(Box::new(Pulling {
        container: "main".into(),
        image: "registry.example/app:1".into(),
        received,
    }));
    // What is shown of a pod while it ends is in nobody's way, so it hangs there.
    runtime.delay(Method::ListPodSandbox, Duration::from_secs(60));
    let ended = tokio::time::timeout(Duration::from_secs(1), worker.live()).await;
    assert!(ended.is_err() && worker.pulling.is_none());
}
