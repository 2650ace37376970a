//! What a pod's worker lives in, for tests: a fake runtime and a folder.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::context::{Directory, PodContext, Report};
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

/// A context with everything in the folder.
pub(crate) fn context(
    runtime: &FakeRuntime,
    dir: &Path,
    reports: mpsc::UnboundedSender<Report>,
) -> PodContext {
    let clock = Clock::start();
    PodContext {
        clock,
        boot: "this".to_owned(),
        cri: runtime.client(),
        host: watch::channel(Host::for_tests().into()).1,
        volumes: VolumeRoot::prepare(dir).expect("a volume root"),
        users: UserNamespaces::new(dir.join("pods")),
        // No tree of version 1 is mounted there, so there is no cgroup to make.
        cgroups: CgroupManager::new(Version::V1, Driver::Cgroupfs, dir, "/kubepods").expect("cgroups"),
        allocatable: BTreeMap::new(),
        pressure: watch::channel(Pressure::none(clock.wall_seconds())).1,
        metrics: Metrics::new("test").into(),
        board: Board::new("node-1", clock.wall()).into(),
        records: Records::open(&dir.join("records")).expect("records"),
        pulls: Semaphore::new(5),
        preload: Preload::none(),
        sandbox_image: SandboxImage::left_to_the_runtime(),
        network: Network::new(runtime.client()),
        node_credentials: NodeCredentials::new(CredentialsFile::Default(dir.join("config.json"))),
        directory: Directory::default(),
        objects: watch::channel(std::sync::Arc::default()).1,
        restarts: BackoffPolicy::KUBELET,
        container_logs_dir: dir.join("containers"),
        reports,
        agent_started: tokio::time::Instant::now().into_std(),
        shutdown: CancellationToken::new(),
    }
}
