//! The pods of this node as the decisions see them: what they are made of, how they are, and the agent's hand on each.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use super::taints::Deadline;
use crate::manifest::DaemonSetKey;
use crate::pod::disruption::Cause;
use crate::pod::failure::Failure;
use crate::pod::identity::Incarnation;
use crate::pod::record::PodRecord;
use crate::pod::worker::{Wake, WorkerHandle};
use crate::rollout::RevisionHash;
use crate::rollout::decide::Life;

/// One pod that has a worker, or is about to.
pub(in crate::agent) struct Tracked {
    pub(in crate::agent) handle: Hand,
    pub(super) pod: Arc<Pod>,
    pub(super) daemon_set: DaemonSetKey,
    pub(in crate::agent) name: String,
    pub(super) revision: RevisionHash,
    pub(super) hash_version: u32,
    pub(super) incarnation: Incarnation,
    /// When it was made.
    pub(super) created: Timestamp,
    /// When it became Ready, by the monotonic clock.
    pub(super) ready_since: Option<Duration>,
    pub(super) life: Life,
    pub(super) sight: Sight,
    /// When the node's taints drive it away, if they do.
    pub(super) deadline: Option<Deadline>,
}

impl Tracked {
    /// A pod as its record says it is, without a worker.
    pub(super) fn of(record: &PodRecord) -> Self {
        Self {
            pod: Arc::clone(&record.pod),
            handle: Hand::Recording { stop: None },
            daemon_set: record.daemon_set.clone(),
            name: record.pod.metadata.name.clone().unwrap_or_default(),
            revision: record.revision.clone(),
            hash_version: record.hash_version,
            incarnation: record.incarnation,
            created: record.created,
            ready_since: None,
            life: if record.ending.is_some() { Life::Ending } else { Life::Live },
            sight: Sight::Seen,
            deadline: None,
        }
    }
}

/// The agent's end of a pod.
pub(in crate::agent) enum Hand {
    /// Its record has no place yet; until it has, the runtime must not hear of the pod.
    Recording {
        /// Why it was told to stop meanwhile.
        stop: Option<Cause>,
    },
    /// A worker sees to it.
    Working(WorkerHandle),
}

impl Hand {
    /// Wakes the pod, if it sleeps.
    pub(super) fn wake(&self, wake: Wake) {
        if let Self::Working(handle) = self {
            handle.wake(wake);
        }
    }

    /// Tells the pod that it has failed. One that is not on record yet is not there for anybody to complain of.
    pub(super) fn fail(&self, failure: Failure) {
        if let Self::Working(handle) = self {
            handle.fail(failure);
        }
    }

    /// Tells the pod to stop.
    pub(super) fn stop(&mut self, cause: Cause, grace: Option<Duration>) {
        match self {
            Self::Recording { stop } => *stop = stop.or(Some(cause)),
            Self::Working(handle) => handle.stop(cause, grace),
        }
    }
}

/// Whether it is known how a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// It ran when this agent started, and its worker has not said yet how it is.
    Unseen,
    /// It is.
    Seen,
}
