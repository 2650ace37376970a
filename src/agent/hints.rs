//! When to look at a runtime whose pods are not ours to look after: soon after it tells of something, and now and then to make sure.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::containerd::{self, RuntimeEvent};
use crate::cri::CriClient;

/// What happens within this time is looked at once.
const SETTLE: Duration = Duration::from_millis(200);
/// What a listing shows may lag behind what was told, and what happened before the stream was open is told by nobody: so each look that something
/// has led to is followed by these.
const CATCH_UP: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(10)];
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
    due: Instant,
    /// The looks that follow the one that is due.
    catching_up: std::slice::Iter<'static, Duration>,
}

impl Hints {
    /// Begins to listen.
    pub(super) fn listen(cri: &CriClient) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_IN_FLIGHT);
        let cri = cri.clone();
        tokio::spawn(async move { containerd::watch(&cri, sender).await });
        Self::of(events)
    }

    fn of(events: mpsc::Receiver<RuntimeEvent>) -> Self {
        Self { events, slow: SLOW, due: Instant::now() + SLOW, catching_up: [].iter() }
    }

    /// Waits until it is time to look: first when the runtime answers. Safe to drop and await again.
    pub(super) async fn next(&mut self) {
        loop {
            tokio::select! {
                Some(event) = self.events.recv() => {
                    match event {
                        RuntimeEvent::NoEventSource => self.slow = WITHOUT_EVENTS,
                        RuntimeEvent::StreamReady { .. } => self.slow = SLOW,
                        _ => {}
                    }
                    self.due = self.due.min(Instant::now() + SETTLE);
                    self.catching_up = CATCH_UP.iter();
                }
                () = sleep_until(self.due) => {
                    let pause = self.catching_up.next().copied().unwrap_or(self.slow);
                    self.due = Instant::now() + pause;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::containerd::EventSource;

    #[tokio::test(start_paused = true)]
    async fn what_was_told_is_looked_at_soon_and_again_until_it_must_show() {
        let (sender, events) = mpsc::channel(8);
        let mut hints = Hints::of(events);
        let begun = Instant::now();
        for _ in 0..3 {
            sender.send(RuntimeEvent::StreamReady { source: EventSource::Containerd }).await.unwrap();
        }
        let mut looks = Vec::new();
        for _ in 0..5 {
            hints.next().await;
            looks.push(begun.elapsed().as_millis());
        }
        assert_eq!(looks, [200, 700, 2_700, 12_700, 72_700]);
        sender.send(RuntimeEvent::NoEventSource).await.unwrap();
        let begun = Instant::now();
        for _ in 0..5 {
            hints.next().await;
        }
        assert_eq!(
            begun.elapsed().as_millis(),
            12_700 + 5_000,
            "it is asked more often where nothing is told"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_never_stops_telling_is_looked_at_all_the_same() {
        let (sender, events) = mpsc::channel(8);
        let mut hints = Hints::of(events);
        let telling = tokio::spawn(async move {
            while sender.send(RuntimeEvent::NoEventSource).await.is_ok() {
                tokio::time::sleep(SETTLE / 2).await;
            }
        });
        for _ in 0..3 {
            timeout(2 * SETTLE, hints.next()).await.expect("it looks");
        }
        drop(hints);
        telling.await.unwrap();
    }
}
