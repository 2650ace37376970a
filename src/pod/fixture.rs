//! What tests need of a node to run pods on: a runtime that runs nothing, and folders of their own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::context::{Directory, PodContext};
use super::network::Network;
use super::node_credentials::{CredentialsFile, NodeCredentials};
use super::record::Records;
use super::sandbox_image::SandboxImage;
use super::user_namespace::UserNamespaces;
use crate::backoff::BackoffPolicy;
use crate::board::{Board, Metrics};
use crate::cgroup::{CgroupManager, Driver, Version};
use crate::clock::Clock;
use crate::cri::fake::FakeRuntime;
use crate::cri::translate::Host;
use crate::node::Pressure;
use crate::preload::Preload;
use crate::volume::VolumeRoot;

/// The context of pods whose folders are below `dir`.
pub fn context(runtime: &FakeRuntime, dir: &Path) -> PodContext {
    let clock = Clock::start();
    PodContext {
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
    }
}
