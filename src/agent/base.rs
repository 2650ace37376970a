//! What every part of the agent stands on: the settings, this machine, the board, and the runtime. All of it is there before the runtime answers.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::runtime::connect;
use super::{AgentError, Purpose};
use crate::board::{Board, MethodCount, Metrics, StoreStatus};
use crate::clock::Clock;
use crate::config::Settings;
use crate::cri::CriClient;
use crate::error_chain::error_chain;
use crate::kubelet::standing_back::SteppedBack;
use crate::node::host::Host as ThisHost;
use crate::node::{HostFacts, NodeName};
use crate::state_dir::StateEntry;
use crate::volume::VolumeRoot;

/// What every part of the agent stands on.
pub(super) struct Base {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) name: NodeName,
    pub(super) facts: Arc<HostFacts>,
    pub(super) board: Arc<Board>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) cri: CriClient,
    pub(super) shutdown: CancellationToken,
}

impl Base {
    pub(super) fn new(
        settings: Settings,
        purpose: &Purpose,
        shutdown: CancellationToken,
    ) -> Result<Self, AgentError> {
        let clock = Clock::start();
        let machine = ThisHost::new("/");
        let name = match &settings.node_name {
            Some(name) => name.clone(),
            None => machine.node_name()?,
        };
        let facts = Arc::new(machine.facts(&settings.root_dir, &settings.node_ips)?);
        let board = Arc::new(Board::new(name.as_str(), clock.wall()));
        board.set_store_status(StoreStatus {
            source: settings.store.path.display().to_string(),
            ..StoreStatus::default()
        });
        board.set_pending("runtime", "the container runtime has not answered yet");
        board.set_pending("store", "the store has not been read yet");
        if let (Purpose::EndPodsOf(_), Some(note)) = (purpose, SteppedBack::read(&settings.root_dir)?) {
            board.set_pending("kubelet", note.describe());
            board.set_stepped_back(note);
        }
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
        let cri = connect(&settings)?;
        count_calls(&metrics, &cri);
        Ok(Self { settings, clock, name, facts, board, metrics, cri, shutdown })
    }

    /// Starts a task that ends with the agent.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.shutdown.clone().run_until_cancelled_owned(task));
    }

    /// Makes the directories that must be there, and gives that of the pods' volumes.
    pub(super) fn make_directories(&self) -> Result<VolumeRoot, AgentError> {
        let settings = &self.settings;
        let volumes = VolumeRoot::prepare(&settings.root_dir)?;
        if let Err(error) = volumes.make_shared() {
            warn!(
                error = error_chain(&error),
                "mounts that containers make in volumes will not reach the host"
            );
        }
        let store_dir = StateEntry::Store.below(&settings.root_dir);
        for path in [&settings.pod_logs_dir, &settings.container_logs_dir, &store_dir] {
            std::fs::create_dir_all(path)
                .map_err(|source| AgentError::Directory { path: path.clone(), source })?;
        }
        Ok(volumes)
    }
}

fn count_calls(metrics: &Metrics, cri: &CriClient) {
    let counted = cri.clone();
    metrics.count_calls_by(move || {
        let counts = counted.calls();
        counts
            .map(|it| MethodCount { method: it.method.name(), calls: it.calls, failures: it.failures })
            .collect()
    });
}
