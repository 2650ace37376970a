//! The way back from a kubelet that is gone for good.
//!
//! Static pods that daemonlet wrote are removed, and what the kubelet made of them is ended; then the note goes, and an agent looks after the node
//! again. Pods that the kubelet had from anywhere else are nobody's business here, and a file that somebody has changed since stays.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use thiserror::Error;

use super::kubelet_watch;
use super::lock::{LockError, StateLock};
use super::runtime::connect;
use crate::config::Settings;
use crate::cri::proto::{Container, ContainerState, PodSandbox};
use crate::cri::translate::annotations::TERMINATION_GRACE_PERIOD;
use crate::cri::{CriClient, CriError, EndpointError};
use crate::kubelet::Sign;
use crate::kubelet::standing_back::{NoteError, SteppedBack, digest};
use crate::kubelet::static_pod::HANDED_OVER;

/// The grace period of a pod that doesn't say (`terminationGracePeriodSeconds`).
const DEFAULT_GRACE: u64 = 30;

/// Why the node can't be taken over.
#[derive(Debug, Error)]
pub enum TakeOverError {
    /// The kubelet lives.
    #[error("{0}: stop it, and see that nothing starts it again, before daemonlet takes over")]
    Kubelet(Sign),
    /// An agent looks after pods, or another `takeover` is under way.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It can't be known what was handed over.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Somebody changed a file.
    #[error("{} was changed since daemonlet wrote it: move it away, then try again", .0.display())]
    Changed(PathBuf),
    /// A file can't be read or removed.
    #[error("cannot remove {path}")]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The runtime's address is no address.
    #[error("use the container runtime's endpoint")]
    Endpoint(#[from] EndpointError),
    /// The runtime can't end what the kubelet has left.
    #[error("end what the kubelet has made of static pods")]
    Runtime(#[from] CriError),
}

/// What was taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// The static pods' files that were removed.
    pub files: Vec<PathBuf>,
    /// The kubelet's pods that were ended, as `namespace/name`.
    pub pods: Vec<String>,
}

/// Takes the node over from a kubelet; nothing if no kubelet has it.
///
/// # Errors
/// When a kubelet still runs, an agent looks after pods, a file was changed, or the runtime doesn't answer. It can be tried again.
pub async fn take_over(settings: &Settings) -> Result<Option<Taken>, TakeOverError> {
    if let Some(kubelet) = kubelet_watch::present(&settings.container_runtime_endpoint).await {
        return Err(TakeOverError::Kubelet(Sign::Process(kubelet)));
    }
    let Some(note) = SteppedBack::read(&settings.root_dir)? else { return Ok(None) };
    let _lock = StateLock::take(&settings.root_dir)?;
    let ours = ours(&note)?;
    let cri = connect(settings)?;
    // First of all the files: whatever happens then, no kubelet starts those pods again.
    for path in &ours {
        fs::remove_file(path).map_err(|source| TakeOverError::Remove { path: path.clone(), source })?;
    }
    let pods = end_left_behind(&cri).await?;
    SteppedBack::remove(&settings.root_dir)?;
    Ok(Some(Taken { files: ours, pods }))
}

/// The files that are still there, all as they were written. The one that is under way may be there already.
fn ours(note: &SteppedBack) -> Result<Vec<PathBuf>, TakeOverError> {
    let written = note.written.iter().map(|written| (&written.path, written.sha256.clone()));
    let pending = note.pending.iter().map(|pending| (&pending.path, digest(pending.text.as_bytes())));
    let mut there = Vec::new();
    for (path, sha256) in written.chain(pending) {
        match fs::read(path) {
            Ok(bytes) if digest(&bytes) == sha256 => there.push(path.clone()),
            Ok(_) => return Err(TakeOverError::Changed(path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(TakeOverError::Remove { path: path.clone(), source }),
        }
    }
    Ok(there)
}

/// Ends and removes the pods that a kubelet made of what was handed over: with it gone, nobody else would.
async fn end_left_behind(cri: &CriClient) -> Result<Vec<String>, CriError> {
    let all = BTreeMap::new();
    let mut sandboxes = cri.list_pod_sandboxes(&all).await?;
    sandboxes.retain(|sandbox| sandbox.annotations.contains_key(HANDED_OVER));
    let containers = cri.list_containers(&all).await?;
    let ended = join_all(sandboxes.iter().map(|sandbox| end(cri, sandbox, &containers))).await;
    ended.into_iter().collect()
}

async fn end(cri: &CriClient, sandbox: &PodSandbox, containers: &[Container]) -> Result<String, CriError> {
    let running = ContainerState::ContainerRunning as i32;
    let living = containers.iter().filter(|it| it.pod_sandbox_id == sandbox.id && it.state == running);
    let stopping = living
        .map(|container| async { cri.stop_container(&container.id.as_str().into(), grace(container)).await });
    for stopped in join_all(stopping).await {
        stopped?;
    }
    let id = sandbox.id.as_str().into();
    cri.stop_pod_sandbox(&id).await?;
    cri.remove_pod_sandbox(&id).await?;
    let metadata = sandbox.metadata.clone().unwrap_or_default();
    Ok(format!("{}/{}", metadata.namespace, metadata.name))
}

fn grace(container: &Container) -> Duration {
    let noted = container.annotations.get(TERMINATION_GRACE_PERIOD).and_then(|text| text.parse().ok());
    Duration::from_secs(noted.unwrap_or(DEFAULT_GRACE))
}
