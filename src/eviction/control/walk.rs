//! A walk over what pods have on disk. It may take minutes, so it goes on beside the loop, and a later look takes what it has found.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::eviction::local_storage::PodDisk;

/// What pods have on disk, by their UIDs.
pub type Disks = BTreeMap<String, PodDisk>;

/// A walk, if there is one.
#[derive(Debug, Default)]
pub(super) enum Walk {
    /// There is none.
    #[default]
    None,
    /// It goes on.
    Begun(JoinHandle<Walked>),
    /// It is over, and nobody has asked for it yet.
    Ended(Walked),
}

/// How a walk came out.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) took: Duration,
    /// Nothing if it could not be found out.
    pub(super) found: Option<Disks>,
}

impl Walk {
    /// Begins a walk.
    pub(super) fn begin(walk: BoxFuture<'static, Option<Disks>>) -> Self {
        Self::Begun(tokio::spawn(async move {
            let begun = Instant::now();
            let found = walk.await;
            Walked { took: begun.elapsed(), found }
        }))
    }

    /// Whether one goes on.
    pub(super) const fn is_begun(&self) -> bool {
        matches!(self, Self::Begun(_))
    }

    /// Waits for its end; for ever if none goes on. Safe to drop and await again.
    pub(super) async fn ended(&mut self) {
        let Self::Begun(task) = self else { return std::future::pending().await };
        // One that has broken down has found nothing out.
        let walked = task.await.unwrap_or(Walked { took: Duration::ZERO, found: None });
        *self = Self::Ended(walked);
    }

    /// Takes what was found, once it is over. Nothing if none is.
    pub(super) fn take(&mut self) -> Option<Walked> {
        if !matches!(self, Self::Ended(_)) {
            return None;
        }
        match std::mem::take(self) {
            Self::Ended(walked) => Some(walked),
            Self::None | Self::Begun(_) => None,
        }
    }
}
