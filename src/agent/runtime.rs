//! The runtime as the agent watches it: its events, a slow listing that makes sure, and whether it answers at all.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::board::{Board, RuntimeStatus};
use crate::cri::{CriClient, CriError, Detail};
use crate::error_chain::error_chain;
use crate::node::{Readiness, Runtime};
use crate::pod::MARK;
use crate::pod::identity::PodUid;
use crate::pod::worker::Listed;

/// Everything of ours that the runtime has, by pod.
pub(super) type Listing = BTreeMap<PodUid, Listed>;

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
        let uid = container.labels.get("io.kubernetes.pod.uid").and_then(|uid| PodUid::parse(uid));
        if let Some(uid) = uid {
            listing.entry(uid).or_default().containers.push(container);
        }
    }
    Ok(listing)
}

/// What the last listing looked like, to tell which pods differ in the next.
#[derive(Debug, Default)]
pub(super) struct Relist {
    seen: HashMap<PodUid, u64>,
}

impl Relist {
    /// Whether the last listing had this pod.
    pub(super) fn has(&self, uid: &PodUid) -> bool {
        self.seen.contains_key(uid)
    }

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
            started,
        }
    }

    /// Asks the runtime for its version and conditions, and tells.
    ///
    /// # Errors
    /// When it doesn't answer, which is told as well.
    pub(super) async fn check(&self, cri: &CriClient) -> Result<(), CriError> {
        match ask(cri).await {
            Ok((version, missing)) => {
                self.tell(cri, version, missing);
                Ok(())
            }
            Err(error) => {
                self.lost(cri, &error_chain(&error));
                Err(error)
            }
        }
    }

    /// Tells that the runtime doesn't answer.
    pub(super) fn lost(&self, cri: &CriClient, problem: &str) {
        let version = self.node.borrow().version.clone();
        self.tell(cri, version, Some(format!("container runtime is down: {problem}")));
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
            runtime.version = version.clone();
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

/// The runtime's name and version, and what it lacks to run pods.
async fn ask(cri: &CriClient) -> Result<(String, Option<String>), CriError> {
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
    Ok((format!("{}://{}", version.runtime_name, version.runtime_version), missing))
}
