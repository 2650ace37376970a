//! What can only be seen from inside a worker. How it lives is tested from outside, in `tests/lifecycle`.

use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::memory::Retry;
use super::*;
use crate::backoff::BackoffPolicy;
use crate::board::{Board, Metrics};
use crate::cgroup::{CgroupManager, Driver, Version};
use crate::clock::Clock;
use crate::cri::fake::FakeRuntime;
use crate::cri::translate::Host;
use crate::manifest::DaemonSetKey;
use crate::node::Pressure;
use crate::pod::context::Directory;
use crate::pod::identity::Incarnation;
use crate::pod::network::Network;
use crate::pod::node_credentials::{CredentialsFile, NodeCredentials};
use crate::pod::record::Records;
use crate::pod::sandbox_image::SandboxImage;
use crate::pod::status::Waiting;
use crate::pod::user_namespace::UserNamespaces;
use crate::preload::Preload;
use crate::rollout::RevisionHash;
use crate::volume::VolumeRoot;

fn context(runtime: &FakeRuntime, dir: &Path) -> Arc<PodContext> {
    let clock = Clock::start();
    Arc::new(PodContext {
        clock,
        boot: "this".to_owned(),
        cri: runtime.client(),
        host: watch::channel(Arc::new(Host::for_tests())).1,
        volumes: VolumeRoot::prepare(dir).expect("a volume root"),
        users: UserNamespaces::new(dir.join("pods")),
        // No tree of version 1 is mounted there, so there is no cgroup to make.
        cgroups: CgroupManager::new(Version::V1, Driver::Cgroupfs, dir, "/kubepods").expect("cgroups"),
        allocatable: BTreeMap::new(),
        pressure: watch::channel(Pressure::none(clock.wall_seconds())).1,
        metrics: Arc::new(Metrics::new("test")),
        board: Arc::new(Board::new("node-1", clock.wall())),
        records: Records::open(&dir.join("records")).expect("records"),
        pulls: Semaphore::new(5),
        preload: Preload::none(),
        sandbox_image: SandboxImage::left_to_the_runtime(),
        network: Network::new(runtime.client()),
        node_credentials: NodeCredentials::new(CredentialsFile::Default(dir.join("config.json"))),
        directory: Directory::default(),
        objects: watch::channel(Arc::default()).1,
        restarts: BackoffPolicy::KUBELET,
        container_logs_dir: dir.join("containers"),
        reports: mpsc::unbounded_channel().0,
        agent_started: tokio::time::Instant::now().into_std(),
        shutdown: CancellationToken::new(),
    })
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
