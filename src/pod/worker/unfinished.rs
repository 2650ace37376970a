//! Requests that make something, carried to their end whatever happens to the worker in between.
//!
//! A worker that is told to stop drops what it is doing. A request that is dropped may still be carried out by the runtime, and what it makes
//! would then come to be after the worker looked for the last time: a sandbox that nobody knows. So such requests have a task of their own,
//! and before a pod ends that task is waited for.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

/// Longer than the longest deadline of a CRI call (`RunPodSandbox`: four minutes).
const PATIENCE: Duration = Duration::from_secs(300);

/// The request under way, if one is; a worker makes one at a time.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Option<JoinHandle<()>>);

impl Unfinished {
    /// Carries out a request and answers what came of it; `None` if it panicked. If this is dropped meanwhile the request goes on.
    pub(super) async fn carry_out<T: Send + 'static>(
        &mut self,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.0 = Some(tokio::spawn(async move {
            // Nobody waits for the answer if the worker was told to stop.
            let _ = answer.send(request.await);
        }));
        let answer = answered.await.ok();
        self.0 = None;
        answer
    }

    /// Waits until the request that was left behind is over.
    pub(super) async fn settle(&mut self) {
        if let Some(task) = &mut self.0
            && timeout(PATIENCE, task).await.is_err()
        {
            warn!("a request of this pod does not come to an end; the pod is stopped all the same");
        }
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_is_finished_though_nobody_waits_for_it() {
        let done = Arc::new(AtomicBool::new(false));
        let mut unfinished = Unfinished::default();
        let made = Arc::clone(&done);
        let request = async move {
            sleep(Duration::from_secs(3)).await;
            made.store(true, Ordering::Relaxed);
        };
        assert!(timeout(Duration::from_secs(1), unfinished.carry_out(request)).await.is_err());
        assert!(!done.load(Ordering::Relaxed));
        unfinished.settle().await;
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_comes_back_and_what_never_ends_is_given_up() {
        let mut unfinished = Unfinished::default();
        assert_eq!(unfinished.carry_out(async { 7 }).await, Some(7));
        let never = unfinished.carry_out(std::future::pending::<()>());
        assert!(timeout(Duration::from_secs(1), never).await.is_err());
        unfinished.settle().await;
    }
}
