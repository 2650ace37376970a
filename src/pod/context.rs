//! What every pod worker shares: the runtime, the node, the board, and the few limits that hold across pods.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::identity::PodUid;
use super::network::Network;
use super::node_credentials::NodeCredentials;
use super::record::Records;
use super::sandbox_image::SandboxImage;
use super::user_namespace::UserNamespaces;
use crate::backoff::BackoffPolicy;
use crate::board::{Board, Metrics};
use crate::cgroup::CgroupManager;
use crate::clock::Clock;
use crate::cri::CriClient;
use crate::cri::translate::Host;
use crate::manifest::Objects;
use crate::node::Pressure;
use crate::preload::Preload;
use crate::volume::VolumeRoot;

/// What every pod worker shares.
#[derive(Debug)]
pub struct PodContext {
    /// The agent's clocks.
    pub clock: Clock,
    /// This boot of the machine, by the kernel's `boot_id`.
    pub boot: String,
    /// The runtime.
    pub cri: CriClient,
    /// The node, as pods see it.
    pub host: watch::Receiver<Arc<Host>>,
    /// Where pods' directories are.
    pub volumes: VolumeRoot,
    /// Who gives pods user IDs of their own.
    pub users: UserNamespaces,
    /// Who makes pods' cgroups.
    pub cgroups: CgroupManager,
    /// What the node gives to pods, as the Node's status has it.
    pub allocatable: BTreeMap<String, Quantity>,
    /// What the node is short of.
    pub pressure: watch::Receiver<Pressure>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where status and Events go.
    pub board: Arc<Board>,
    /// Where pods are remembered.
    pub records: Records,
    /// How many images are pulled at once.
    pub pulls: Semaphore,
    /// The images that the node has as archives.
    pub preload: Preload,
    /// What sandboxes are made from.
    pub sandbox_image: SandboxImage,
    /// Whether pods can have a network of their own.
    pub network: Network,
    /// The registry credentials that are for every pod.
    pub node_credentials: NodeCredentials,
    /// Which pod an id of the runtime belongs to.
    pub directory: Directory,
    /// The store's objects, newest first seen here.
    pub objects: watch::Receiver<Arc<Objects>>,
    /// The crash-loop back-off.
    pub restarts: BackoffPolicy,
    /// Where log collectors find each container's log (`/var/log/containers`).
    pub container_logs_dir: PathBuf,
    /// Where workers report to.
    pub reports: mpsc::UnboundedSender<Report>,
    /// When the agent started; probes of pods that ran before it spread their first run.
    pub agent_started: Instant,
    /// The agent is going down; pods stay as they are.
    pub shutdown: CancellationToken,
}

impl PodContext {
    /// The node as it is now: its addresses and resolver may come later than its pods.
    pub fn host(&self) -> Arc<Host> {
        Arc::clone(&self.host.borrow())
    }
}

/// What a worker tells the agent about its pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which pod.
    pub uid: PodUid,
    /// What about it.
    pub news: News,
}

/// News of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It has become Ready.
    Ready {
        /// How long it has been; more than nothing only for a pod that a new agent found Ready.
        since: Duration,
    },
    /// It is not Ready (any more).
    NotReady,
    /// It has failed: nothing of it runs or ever will, and its status is kept.
    Failed,
    /// Nothing is left of it.
    Gone,
}

/// Which pod an id of the runtime belongs to, so that an event finds its worker.
#[derive(Debug, Default)]
pub struct Directory(Mutex<HashMap<String, PodUid>>);

impl Directory {
    /// Notes that a sandbox or container belongs to a pod.
    pub fn add(&self, id: &str, uid: &PodUid) {
        self.lock().insert(id.to_owned(), uid.clone());
    }

    /// Forgets an id.
    pub fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Forgets everything of a pod.
    pub fn forget(&self, uid: &PodUid) {
        self.lock().retain(|_, owner| owner != uid);
    }

    /// How many ids are known.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no id is known.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Whose id this is.
    pub fn owner(&self, id: &str) -> Option<PodUid> {
        self.lock().get(id).cloned()
    }

    /// A map can't be left half-written by a panic, so a poisoned lock is as good as any.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, PodUid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
