//! Blocking work on a thread of its own, which may hang or panic without harm.

use std::thread;

use tokio::sync::oneshot;

/// Runs `work` on a new thread; `None` if the system has no thread to give.
pub(in crate::store) fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<oneshot::Receiver<T>> {
    let (sender, receiver) = oneshot::channel();
    let run = move || {
        // Nobody waits for it any more when the agent shuts down.
        let _ = sender.send(work());
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).ok().map(|_| receiver)
}

/// Waits for the answer and empties the slot: for ever if it is empty, `None` if the thread panicked. Cancel safe.
pub(super) async fn answer<T>(slot: &mut Option<oneshot::Receiver<T>>) -> Option<T> {
    let Some(receiver) = slot else {
        return std::future::pending().await;
    };
    let answer = receiver.await.ok();
    *slot = None;
    answer
}
