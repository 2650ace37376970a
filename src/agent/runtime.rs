//! The runtime as the agent watches it: its events, a slow listing that makes sure, and whether it answers at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::host::RuntimeFacts;
use crate::board::{Board, RuntimeStatus};
use crate::config::Settings;
use crate::cri::translate::labels;
use crate::cri::{ClientOptions, CriClient, CriError, Detail, Endpoint, EndpointError};
use crate::error_chain::error_chain;
use crate::node::{Readiness, Runtime};
use crate::pod::MARK;
use crate::pod::identity::PodUid;
use crate::pod::worker::Listed;
use crate::systemd::logind::Machine;

/// Everything of ours that the runtime has, by pod.
pub(super) type Listing = BTreeMap<PodUid, Listed>;

/// The waits for a runtime that doesn't answer.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// The runtime that is configured. Nothing is asked of it yet.
pub(super) fn connect(settings: &Settings) -> Result<CriClient, EndpointError> {
    let endpoint = Endpoint::new(&settings.container_runtime_endpoint)?;
    let options = ClientOptions { request_timeout: settings.runtime_request_timeout };
    Ok(CriClient::connect(&endpoint, options))
}

/// Asks the runtime until it answers.
pub(super) async fn wait_for_runtime(cri: &CriClient, health: &Health) -> RuntimeFacts {
    let (mut pause, longest) = RETRY;
    loop {
        let answer = match health.check(cri).await {
            Ok(()) => RuntimeFacts::ask(cri).await,
            Err(problem) => Err(problem),
        };
        match answer {
            Ok(facts) => return facts,
            Err(problem) => debug!(%problem, "waiting for the container runtime"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Asks for the listing until the runtime answers, and says how it is.
pub(super) async fn wait_for_listing(cri: &CriClient, node_name: &str, health: &Health) -> Listing {
    loop {
        match list(cri, node_name).await {
            Ok(listing) => return listing,
            Err(problem) => health.lost(cri, &error_chain(&problem)),
        }
        sleep(RETRY.1).await;
    }
}

/// Lists what carries our mark, and nothing else: what others run is none of our business.
pub(super) async fn list(cri: &CriClient, node_name: &str) -> Result<Listing, CriError> {
    let mark = BTreeMap::from([(MARK.to_owned(), node_name.to_owned())]);
    let mut listing = Listing::new();
    for sandbox in cri.list_pod_sandboxes(&mark).await? {
        if let Some(uid) = sandbox.metadata.as_ref().and_then(|metadata| PodUid::parse(&metadata.uid)) {
            listing.entry(uid).or_default().sandboxes.push(sandbox);
        }
    }
    for container in cri.list_containers(&mark).await? {
        let uid = container.labels.get(labels::POD_UID).and_then(|uid| PodUid::parse(uid));
        if let Some(uid) = uid {
            listing.entry(uid).or_default().containers.push(container);
        }
    }
    Ok(listing)
}

/// What a look at the runtime found.
#[derive(Debug)]
pub(super) struct Looked {
    /// What it says about itself.
    pub(super) health: Result<Answer, CriError>,
    /// What it has of ours; nothing if it doesn't even answer for itself.
    pub(super) listing: Option<Result<Listing, CriError>>,
}

async fn look(cri: &CriClient, node_name: &str) -> Looked {
    let health = ask(cri).await;
    let listing = if health.is_ok() { Some(list(cri, node_name).await) } else { None };
    Looked { health, listing }
}

/// A look at the runtime that is under way, if one is.
#[derive(Debug, Default)]
pub(super) struct Look {
    task: Option<JoinHandle<Looked>>,
    /// The pods that have gone since it began, and may be in its listing.
    gone: BTreeSet<PodUid>,
}

impl Look {
    /// Begins to look.
    pub(super) fn begin(&mut self, cri: &CriClient, node_name: &str) {
        let (cri, node_name) = (cri.clone(), node_name.to_owned());
        self.gone.clear();
        self.task = Some(tokio::spawn(async move { look(&cri, &node_name).await }));
    }

    /// Whether none is under way.
    pub(super) const fn is_idle(&self) -> bool {
        self.task.is_none()
    }

    /// Waits for its end; for ever if there is none. Safe to drop and await again.
    pub(super) async fn ended(&mut self) -> Option<Looked> {
        match &mut self.task {
            Some(task) => {
                let looked = task.await;
                self.task = None;
                looked.ok()
            }
            None => std::future::pending().await,
        }
    }

    /// Takes note that a pod has gone.
    pub(super) fn note_gone(&mut self, uid: PodUid) {
        if !self.is_idle() {
            self.gone.insert(uid);
        }
    }

    /// Leaves out of a listing what has gone since it was asked for.
    pub(super) fn leave_out_gone(&self, listing: &mut Listing) {
        listing.retain(|uid, _| !self.gone.contains(uid));
    }
}

/// What the last listing looked like, to tell which pods differ in the next.
#[derive(Debug, Default)]
pub(super) struct Relist {
    seen: HashMap<PodUid, u64>,
}

impl Relist {
    /// The pods that differ from the last listing, or are gone from it.
    pub(super) fn changed(&mut self, listing: &Listing) -> Vec<PodUid> {
        let now: HashMap<PodUid, u64> =
            listing.iter().map(|(uid, listed)| (uid.clone(), fingerprint(listed))).collect();
        let mut changed: Vec<PodUid> = now
            .iter()
            .filter(|(uid, print)| self.seen.get(*uid) != Some(print))
            .map(|(uid, _)| uid.clone())
            .collect();
        changed.extend(self.seen.keys().filter(|uid| !now.contains_key(*uid)).cloned());
        self.seen = now;
        changed
    }
}

fn fingerprint(listed: &Listed) -> u64 {
    let mut parts: Vec<(&str, i32)> =
        (listed.sandboxes.iter().map(|sandbox| (sandbox.id.as_str(), sandbox.state)))
            .chain(listed.containers.iter().map(|container| (container.id.as_str(), container.state)))
            .collect();
    parts.sort_unstable();
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// Who tells the node and the board how the runtime is.
#[derive(Debug)]
pub(super) struct Health {
    board: Arc<Board>,
    node: watch::Sender<Runtime>,
}

impl Health {
    pub(super) fn new(board: Arc<Board>, node: watch::Sender<Runtime>) -> Self {
        Self { board, node }
    }

    /// What the node starts out with: a runtime that has not answered yet.
    pub(super) fn unknown(started: Timestamp) -> Runtime {
        let message = "container runtime status check may not have completed yet".to_owned();
        Runtime {
            version: String::new(),
            readiness: Readiness::NotReady { message },
            since: started,
            going_down: false,
            started,
        }
    }

    /// Asks the runtime for its version and conditions, and tells.
    ///
    /// # Errors
    /// When it doesn't answer, which is told as well.
    pub(super) async fn check(&self, cri: &CriClient) -> Result<(), CriError> {
        match ask(cri).await {
            Ok(answer) => {
                self.tell(cri, answer.name, answer.missing);
                Ok(())
            }
            Err(error) => {
                self.lost(cri, &error_chain(&error));
                Err(error)
            }
        }
    }

    /// Tells what was asked elsewhere.
    pub(super) fn take(&self, cri: &CriClient, answer: Result<Answer, CriError>) {
        match answer {
            Ok(answer) => self.tell(cri, answer.name, answer.missing),
            Err(error) => self.lost(cri, &error_chain(&error)),
        }
    }

    /// Tells that the runtime doesn't answer.
    pub(super) fn lost(&self, cri: &CriClient, problem: &str) {
        let version = self.node.borrow().version.clone();
        self.tell(cri, version, Some(format!("container runtime is down: {problem}")));
    }

    /// Takes note that the machine goes down, or stays up after all.
    pub(super) fn machine_goes(&self, machine: Machine) {
        self.node.send_if_modified(|runtime| {
            let going_down = machine == Machine::GoingDown;
            let changed = runtime.going_down != going_down;
            if changed {
                (runtime.going_down, runtime.since) = (going_down, Timestamp::now());
            }
            changed
        });
    }

    fn tell(&self, cri: &CriClient, version: String, problem: Option<String>) {
        let readiness = match &problem {
            None => Readiness::Ready,
            Some(message) => Readiness::NotReady { message: message.clone() },
        };
        let changed = self.node.send_if_modified(|runtime| {
            let changed = runtime.version != version || runtime.readiness != readiness;
            if runtime.readiness != readiness {
                runtime.since = Timestamp::now();
            }
            runtime.version.clone_from(&version);
            runtime.readiness = readiness;
            changed
        });
        if changed {
            match &problem {
                None => info!(runtime = version, "the container runtime is ready"),
                Some(problem) => warn!(problem, "the container runtime is not ready"),
            }
        }
        let endpoint = cri.endpoint().to_string();
        self.board.set_runtime_status(RuntimeStatus { endpoint, version, problem });
    }
}

/// What a runtime says about itself.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its name and version.
    name: String,
    /// What it lacks to run pods.
    missing: Option<String>,
}

async fn ask(cri: &CriClient) -> Result<Answer, CriError> {
    let version = cri.version().await?;
    let status = cri.status(Detail::Brief).await?;
    let conditions = status.status.map(|status| status.conditions).unwrap_or_default();
    let unmet: Vec<String> = conditions
        .iter()
        .filter(|condition| !condition.status)
        .map(|condition| {
            format!(
                "container runtime {} is false: {}: {}",
                condition.r#type, condition.reason, condition.message
            )
        })
        .collect();
    let missing = (!unmet.is_empty()).then(|| unmet.join("; "));
    Ok(Answer { name: format!("{}://{}", version.runtime_name, version.runtime_version), missing })
}
