//! When to look at a runtime whose pods are not ours to look after: soon after it tells of something, and now and then to make sure.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::containerd::{self, RuntimeEvent};
use crate::cri::CriClient;

/// What happens within this time is looked at once.
const SETTLE: Duration = Duration::from_millis(200);
/// How often it is looked at though nothing is told: where there are events, and where there are none.
const SLOW: Duration = Duration::from_secs(60);
const WITHOUT_EVENTS: Duration = Duration::from_secs(5);
/// How many events may wait meanwhile; each of them is enough to look again.
const EVENTS_IN_FLIGHT: usize = 64;

/// A runtime's hints. It is listened to until this is dropped.
#[derive(Debug)]
pub(super) struct Hints {
    events: mpsc::Receiver<RuntimeEvent>,
    slow: Duration,
    /// When what was told is looked at.
    due: Option<Instant>,
}

impl Hints {
    /// Begins to listen.
    pub(super) fn listen(cri: &CriClient) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_IN_FLIGHT);
        let cri = cri.clone();
        tokio::spawn(async move { containerd::watch(&cri, sender).await });
        Self { events, slow: SLOW, due: None }
    }

    /// Waits until it is time to look: first when the runtime answers. Safe to drop and await again.
    pub(super) async fn next(&mut self) {
        let slow = Instant::now() + self.slow;
        loop {
            tokio::select! {
                Some(event) = self.events.recv() => {
                    match event {
                        RuntimeEvent::NoEventSource => self.slow = WITHOUT_EVENTS,
                        RuntimeEvent::StreamReady { .. } => self.slow = SLOW,
                        _ => {}
                    }
                    self.due.get_or_insert(Instant::now() + SETTLE);
                }
                () = settled(self.due) => {
                    self.due = None;
                    return;
                }
                () = sleep_until(slow) => return,
            }
        }
    }
}

async fn settled(due: Option<Instant>) {
    match due {
        Some(due) => sleep(due.saturating_duration_since(Instant::now())).await,
        None => std::future::pending().await,
    }
}
