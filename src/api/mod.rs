//! Kubernetes-shaped HTTP over the board: what kubectl and our own CLI read.
//!
//! Read-only, and holding no rules: handlers look things up on the board and hand them to pure code that selects and renders.
//! Paths, parameters and objects are those of the Kubernetes API; what only daemonlet knows is under
//! `/apis/daemonlet.dev/v1`.

mod agent;
mod discovery;
mod failure;
mod health;
mod objects;
mod options;
pub mod resource;
mod routes;
pub mod selector;
mod socket;
pub mod table;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::serve::Listener;
use tokio::net::UnixStream;
use tokio::net::unix::SocketAddr;
use tokio_util::sync::CancellationToken;

use crate::board::{Board, Metrics};

pub use socket::{BindError, DEFAULT_SOCKET, Socket};

/// What the API serves from.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// What is true now.
    pub board: Arc<Board>,
    /// What `/metrics` tells beside it.
    pub metrics: Arc<Metrics>,
    /// Where the containers' log files are (`/var/log/pods`).
    pub pod_logs_dir: PathBuf,
    /// The agent's version.
    pub version: &'static str,
    /// Ends every watch and every followed log.
    pub shutdown: CancellationToken,
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
