//! Why the agent can't run.

use std::path::PathBuf;

use thiserror::Error;

use super::lock::LockError;
use crate::api;
use crate::atomic_file::AtomicFileError;
use crate::cgroup::CgroupError;
use crate::cri::EndpointError;
use crate::kubelet::Sign;
use crate::kubelet::standing_back::NoteError;
use crate::node;
use crate::pod::record::RecordError;
use crate::rollout::ledger::LedgerError;
use crate::volume::PathError;

/// Why the agent can't run.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum AgentError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("find out about this host")]
    Host(#[from] node::HostError),
    #[error("prepare the state directory")]
    Volumes(#[from] PathError),
    #[error(transparent)]
    Records(#[from] RecordError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("prepare the pods' cgroups")]
    Cgroups(#[from] CgroupError),
    #[error("use the container runtime's endpoint")]
    Endpoint(#[from] EndpointError),
    #[error("open the API's socket")]
    Api(#[from] api::BindError),
    #[error("make the directory {path}")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("write the static pod {path}")]
    StaticPod { path: PathBuf, source: AtomicFileError },
    #[error(
        "{0}, and would kill every pod of daemonlet: stop one of the two, or see onKubelet in the configuration"
    )]
    Kubelet(Sign),
    #[error("{0}")]
    NotStarted(String),
}
