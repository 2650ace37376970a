//! The agent's own API, served for as long as it runs, whatever it does meanwhile.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::AgentError;
use crate::api::{self, ApiState, Changes, Socket};
use crate::board::{Board, Metrics};
use crate::config::Settings;

/// Serves the API until `shutdown`.
pub(super) fn serve(
    settings: &Settings,
    board: &Arc<Board>,
    metrics: &Arc<Metrics>,
    shutdown: &CancellationToken,
    changes: Changes,
) -> Result<tokio::task::JoinHandle<()>, AgentError> {
    let socket = Socket::bind(&settings.api_socket)?;
    let state = ApiState::new(
        Arc::clone(board),
        Arc::clone(metrics),
        settings.pod_logs_dir.clone(),
        env!("CARGO_PKG_VERSION"),
        shutdown.clone(),
        changes,
    );
    Ok(tokio::spawn(async move {
        if let Err(problem) = api::serve(socket, state).await {
            warn!(%problem, "the API has stopped");
        }
    }))
}
