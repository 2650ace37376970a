//! Waiting while somebody watches whether the agent lives.

use std::pin::pin;

use tokio_util::sync::CancellationToken;

use crate::systemd::{ServiceManager, Watchdog};

/// Waits for something that may take for ever: the service manager hears that the agent lives, and a shutdown ends the wait.
pub(super) async fn attended<T>(
    watchdog: &mut Watchdog,
    shutdown: &CancellationToken,
    wait: impl Future<Output = T>,
) -> Option<T> {
    let mut wait = pin!(wait);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return None,
            done = &mut wait => return Some(done),
            () = watchdog.due() => watchdog.alive(&ServiceManager),
        }
    }
}
