//! The agent's end of a worker, and who sees to it that a worker that panics is not the end of its pod.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span};

use super::{Worker, events};
use crate::backoff::{Backoff, BackoffPolicy};
use crate::board::EventKind;
use crate::clock::Clock;
use crate::cri::proto;
use crate::pod::context::PodContext;
use crate::pod::disruption::Cause;
use crate::pod::failure::Failure;
use crate::pod::record::PodRecord;

/// What the agent tells a pod to do. Only ever goes on: from `Run` to `Fail`, and from either to `Stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Orders {
    /// Run.
    #[default]
    Run,
    /// End gracefully, and show why until told to stop.
    Fail(Box<Failure>),
    /// Stop gracefully and leave nothing behind.
    Stop {
        /// Why.
        cause: Cause,
        /// A shorter grace period than the pod's own.
        grace: Option<Duration>,
    },
}

/// Something happened that the pod may have to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// The runtime says that this sandbox or container has ended.
    Exited(String),
    /// The runtime says that something changed.
    Changed(String),
    /// The runtime can be asked again. What it was asked in vain is asked now.
    RuntimeAnswers,
    /// What the runtime lists of this pod differs from what was known, or events may have been lost.
    LookAgain,
    /// The disk is short: dead containers that are only kept to tell of them are to go.
    DropDead,
    /// Image archives were imported: an image that is waited for may be there.
    ImagesCame,
}

/// The agent's end of a worker.
#[derive(Debug)]
pub struct WorkerHandle {
    orders: watch::Sender<Orders>,
    inbox: Arc<Inbox>,
}

impl WorkerHandle {
    /// Tells the pod to stop. A pod that was told before keeps its first cause; a shorter grace period counts.
    pub fn stop(&self, cause: Cause, grace: Option<Duration>) {
        self.orders.send_if_modified(|orders| match orders {
            Orders::Run | Orders::Fail(_) => {
                *orders = Orders::Stop { cause, grace };
                true
            }
            Orders::Stop { grace: earlier, .. } => shorten(earlier, grace),
        });
    }

    /// Tells the pod that it has failed. One that fails already keeps its first reason, and one that was told to stop goes on with that; if
    /// this failure leaves it less time, that counts (`calculateEffectiveGracePeriod` of `pkg/kubelet/pod_workers.go`).
    pub fn fail(&self, failure: Failure) {
        self.orders.send_if_modified(|orders| match orders {
            Orders::Run => {
                *orders = Orders::Fail(Box::new(failure));
                true
            }
            Orders::Fail(earlier) => shorten(&mut earlier.grace, failure.grace),
            Orders::Stop { grace: earlier, .. } => shorten(earlier, failure.grace),
        });
    }

    /// Wakes the pod.
    pub fn wake(&self, wake: Wake) {
        self.inbox.put(wake);
    }

    /// Whether the worker has ended: its pod is gone, or the agent is going down.
    pub fn is_finished(&self) -> bool {
        self.orders.receiver_count() == 0
    }

    /// Waits until the worker has ended.
    pub async fn finished(&self) {
        self.orders.closed().await;
    }
}

/// Takes a grace period if it is shorter than the earlier one.
fn shorten(earlier: &mut Option<Duration>, grace: Option<Duration>) -> bool {
    let shorter = grace.is_some_and(|grace| earlier.is_none_or(|earlier| grace < earlier));
    if shorter {
        *earlier = grace;
    }
    shorter
}

/// What was heard of a pod and not yet acted upon. However often something is said, it is kept once.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    heard: Mutex<Heard>,
    news: Notify,
}

/// What was heard.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The runtime must be asked for a list.
    pub(super) look_again: bool,
    /// Dead containers are to go.
    pub(super) drop_dead: bool,
    /// Images may be there that are waited for.
    pub(super) images_came: bool,
    /// Sandboxes and containers that something happened to, and whether it was their end.
    pub(super) ids: BTreeMap<String, Happened>,
}

/// What happened to a sandbox or container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happened {
    Changed,
    Ended,
}

impl Inbox {
    fn put(&self, wake: Wake) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, happened) = match wake {
            Wake::LookAgain => {
                heard.look_again = true;
                drop(heard);
                return self.news.notify_one();
            }
            Wake::DropDead => {
                heard.drop_dead = true;
                drop(heard);
                return self.news.notify_one();
            }
            Wake::ImagesCame => {
                heard.images_came = true;
                drop(heard);
                return self.news.notify_one();
            }
            Wake::RuntimeAnswers => {
                drop(heard);
                return self.news.notify_one();
            }
            Wake::Exited(id) => (id, Happened::Ended),
            Wake::Changed(id) => (id, Happened::Changed),
        };
        let known = heard.ids.entry(id).or_insert(happened);
        *known = happened.max(*known);
        drop(heard);
        self.news.notify_one();
    }

    /// Waits until something is heard.
    pub(super) async fn heard(&self) {
        self.news.notified().await;
    }

    /// Takes what was heard.
    pub(super) fn take(&self) -> Heard {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the runtime listed of a pod when the agent started.
#[derive(Debug, Default)]
pub struct Listed {
    /// Its sandboxes.
    pub sandboxes: Vec<proto::PodSandbox>,
    /// Its containers.
    pub containers: Vec<proto::Container>,
}

impl Listed {
    /// Whether the runtime had nothing of the pod.
    pub fn is_empty(&self) -> bool {
        self.sandboxes.is_empty() && self.containers.is_empty()
    }
}

/// Starts the worker of a pod that is on record. `listed` is what the runtime has of it.
pub fn spawn(context: Arc<PodContext>, record: PodRecord, listed: Listed) -> WorkerHandle {
    let (orders, orders_seen) = watch::channel(Orders::Run);
    let inbox = Arc::new(Inbox::default());
    let span = info_span!("pod", pod = %events::full_name(&record.pod), uid = %record.uid, daemonset = %record.daemon_set);
    let watched = Arc::clone(&inbox);
    let task = async move {
        let clock = context.clock;
        let shutdown = context.shutdown.clone();
        let mut listed = Some(listed);
        let mut record = record;
        let run = |panics: u32| {
            if panics > 0 {
                told_of_panic(&context, &record);
                // What was noted on disk meanwhile counts; what isn't there was never meant to be.
                record = context.records.get(&record.uid).unwrap_or_else(|| record.clone());
            }
            let (context, record) = (Arc::clone(&context), record.clone());
            let worker =
                Worker::new(context, record, listed.take(), orders_seen.clone(), Arc::clone(&watched));
            Box::pin(Box::new(worker).run())
        };
        again_after_panics(clock, &shutdown, run).await;
    };
    tokio::spawn(task.instrument(span));
    WorkerHandle { orders, inbox }
}

fn told_of_panic(context: &PodContext, record: &PodRecord) {
    context.metrics.count_worker_panic();
    error!("the pod's worker panicked and is started again; please report this with the message above");
    let message = "The agent failed over this pod and takes it up again; its containers run on. The agent's log says where it failed.";
    events::pod_event(context, &record.pod, EventKind::Warning, "AgentFailed", message);
}

/// Runs a task until it ends by itself, anew each time that it panics: after a while, so that a pod which makes it panic each time costs little.
async fn again_after_panics<F: Future<Output = ()>>(
    clock: Clock,
    shutdown: &CancellationToken,
    mut run: impl FnMut(u32) -> F,
) {
    let mut backoff = Backoff::default();
    for panics in 0.. {
        // Nothing of a worker outlives its panic but what is shared, and that is never left half-written.
        if AssertUnwindSafe(run(panics)).catch_unwind().await.is_ok() {
            return;
        }
        let now = clock.monotonic();
        backoff.raise(&BackoffPolicy::KUBELET, now);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(backoff.delay()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_panics_is_started_again_ever_more_slowly() {
        let begun = Instant::now();
        let mut starts = Vec::new();
        again_after_panics(Clock::start(), &CancellationToken::new(), |panics| {
            starts.push(begun.elapsed().as_secs());
            async move { assert!(panics == 3, "on purpose") }
        })
        .await;
        assert_eq!(starts, [0, 10, 30, 70]);
    }

    #[tokio::test]
    async fn what_is_heard_twice_is_kept_once_and_an_end_outweighs_a_change() {
        let inbox = Inbox::default();
        for wake in [Wake::Changed("a".into()), Wake::Exited("a".into()), Wake::Changed("a".into())] {
            inbox.put(wake);
        }
        inbox.heard().await;
        let heard = inbox.take();
        assert_eq!(heard.ids, BTreeMap::from([("a".to_owned(), Happened::Ended)]));
        assert!(!heard.look_again);
        assert_eq!(inbox.take(), Heard::default());
    }
}
