//! What can only be seen from inside a worker. How it lives is tested from outside, in `tests/lifecycle`.

use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::memory::Retry;
use super::*;
use crate::cri::fake::FakeRuntime;
use crate::manifest::DaemonSetKey;
use crate::pod::identity::Incarnation;
use crate::pod::status::Waiting;
use crate::pod::testing;
use crate::preload::Preload;
use crate::rollout::RevisionHash;

fn context(runtime: &FakeRuntime, dir: &Path) -> Arc<PodContext> {
    Arc::new(testing::context(runtime, dir, mpsc::unbounded_channel().0))
}

fn record() -> PodRecord {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "u-1"},
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
    Arc::get_mut(&mut context).expect("nobody else has it").preload =
        Preload::with(["registry.example/app:1".to_owned()]);
    let mut worker = Worker::new(context, record(), None, orders, inbox);
    for image in ["registry.example/app:1", "registry.example/other:1"] {
        worker.pulls.insert(image.to_owned(), image::PullMemory::default());
    }
    worker.look_for_images();
    assert_eq!(worker.pulls.len(), 2, "nobody waits for an image");
    let waiting = Waiting { reason: "ImagePullBackOff".into(), message: String::new() };
    worker.memory.note_failure("main", waiting, Retry::After(std::time::Duration::from_secs(300)));
    worker.look_for_images();
    assert_eq!(worker.pulls.keys().collect::<Vec<_>>(), ["registry.example/other:1"]);
    assert_eq!(plan::Memory::retry_delay(&worker.memory, "main"), std::time::Duration::ZERO);
}

/// A node has a hundred of them, nearly always waiting: what they need only while they act is on the heap while they do.
#[tokio::test]
async fn a_worker_that_waits_is_small() {
    let runtime = FakeRuntime::start();
    let dir = tempfile::tempdir().expect("a folder");
    let (orders, inbox) = (watch::channel(Orders::Run).1, Arc::default());
    let worker = Worker::new(context(&runtime, dir.path()), record(), None, orders, inbox);
    let own = std::mem::size_of_val(&worker);
    let running = std::mem::size_of_val(&Box::new(worker).run());
    assert!(own <= 1536 && running <= 1024, "{own} bytes and {running} bytes");
}
