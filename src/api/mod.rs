//! Kubernetes-shaped HTTP over the board: what kubectl and our own CLI read.
//!
//! Holding no rules: handlers look things up on the board and hand them to pure code that selects and renders; what is to change something
//! is handed on as a [`command`].
//! Paths, parameters and objects are those of the Kubernetes API; what only daemonlet knows is under
//! `/apis/daemonlet.dev/v1`.

mod agent;
pub mod command;
mod discovery;
mod failure;
mod health;
mod holds;
mod log;
mod objects;
mod options;
mod patch;
pub mod resource;
mod revisions;
mod routes;
pub mod selector;
mod socket;
pub mod table;
#[cfg(test)]
pub(crate) mod tests;
mod watch;
mod writes;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::serve::Listener;
use tokio::net::UnixStream;
use tokio::net::unix::SocketAddr;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::command::Commands;
use crate::board::{Board, Metrics};

pub use socket::{BindError, DEFAULT_SOCKET, Socket};

/// What the API needs for DaemonSets to be changed.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Where requests that change something go.
    pub commands: Commands,
    /// Where revisions are kept.
    pub revisions_dir: PathBuf,
}

/// What the API serves from. Cloning shares it.
#[derive(Debug, Clone)]
pub struct ApiState {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    pod_logs_dir: PathBuf,
    version: &'static str,
    shutdown: CancellationToken,
    log_readers: Arc<Semaphore>,
    commands: Commands,
    revisions_dir: PathBuf,
}

impl ApiState {
    /// An API over this board and these metrics, for an agent of this version. Containers' logs are read under `pod_logs_dir`
    /// (`/var/log/pods`); `shutdown` ends every watch and every followed log.
    pub fn new(
        board: Arc<Board>,
        metrics: Arc<Metrics>,
        pod_logs_dir: PathBuf,
        version: &'static str,
        shutdown: CancellationToken,
        changes: Changes,
    ) -> Self {
        let log_readers = Arc::new(Semaphore::new(log::MAX_READERS));
        let Changes { commands, revisions_dir } = changes;
        Self { board, metrics, pod_logs_dir, version, shutdown, log_readers, commands, revisions_dir }
    }
}

/// Serves until the state's `shutdown`, then lets requests under way finish.
pub async fn serve(socket: Socket, state: ApiState) -> io::Result<()> {
    let shutdown = state.shutdown.clone();
    axum::serve(Accepting(socket), routes::router(state))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

/// The socket as axum wants it, so that it is removed when serving ends.
struct Accepting(Socket);

impl Listener for Accepting {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        Listener::accept(self.0.listener()).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
