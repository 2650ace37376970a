//! Ends the pods before the machine goes down, part by part, and has the machine wait for it.
//!
//! A machine without logind, or one whose logind doesn't answer, is asked again at long intervals: pods run all the same, and end as
//! everything else does when such a machine goes down. Rules: KEP-2000; the order is [`crate::shutdown`]'s.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::board::Board;
use crate::error_chain::error_chain;
use crate::pod::identity::PodUid;
use crate::scheduling::is_unscheduled;
use crate::shutdown::Schedule;
use crate::systemd::logind::{Logind, LogindError, Machine};

/// When a logind that can't be asked is asked again: soon at first, for it may start after the agent, and then seldom.
const RETRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
const SELDOM: Duration = Duration::from_secs(3600);
const WHY: &str = "pods end gracefully first";

/// What the main loop has to do for the shutdown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The machine goes down, or stays up after all.
    Machine(Machine),
    /// End these pods within so much time.
    End { pods: BTreeSet<PodUid>, grace: Duration },
}

/// Watches for the machine's shutdown.
pub(super) struct NodeShutdown {
    pub(super) schedule: Schedule,
    pub(super) board: Arc<Board>,
    pub(super) orders: mpsc::UnboundedSender<Order>,
}

impl NodeShutdown {
    pub(super) async fn run(self) {
        if self.schedule.is_off() {
            return;
        }
        let mut pauses = RETRIES.into_iter();
        loop {
            let begun = Instant::now();
            let Err(problem) = self.attend().await;
            if begun.elapsed() > SELDOM {
                pauses = RETRIES.into_iter();
            }
            let (problem, pause) = (error_chain(&problem), pauses.next());
            if pause == Some(RETRIES[2]) {
                warn!(
                    problem,
                    "shutdowns of this machine do not wait for pods to end; `shutdownGracePeriod: 0s` accepts that"
                );
            } else {
                debug!(problem, "logind does not answer");
            }
            sleep(pause.unwrap_or(SELDOM)).await;
        }
    }

    async fn attend(&self) -> Result<Infallible, LogindError> {
        let mut logind = Logind::connect().await?;
        let longest = self.schedule.longest();
        let allowed = logind.allow_delay(longest).await?;
        if allowed < longest {
            warn!(
                ?allowed,
                ?longest,
                "logind does not let shutdowns wait for as long as pods may take to end"
            );
        }
        loop {
            let lock = logind.hold_back(WHY).await?;
            let mut machine = logind.machine().await?;
            while machine == Machine::Up {
                machine = logind.announced().await?;
            }
            self.tell(Order::Machine(Machine::GoingDown));
            let stays = tokio::select! {
                () = self.end_pods() => false,
                stays = up_again(&mut logind) => stays.map(|()| true)?,
            };
            drop(lock);
            if !stays {
                up_again(&mut logind).await?;
            }
            self.tell(Order::Machine(Machine::Up));
        }
    }

    /// Ends the pods of one group after the other. A group that takes longer than it may doesn't hold up the next.
    async fn end_pods(&self) {
        let pods = self.board.pods();
        let living = pods.iter().filter(|pod| !has_ended(pod)).filter_map(|pod| {
            let uid = PodUid::parse(pod.metadata.uid.as_deref()?)?;
            Some((uid, pod.spec.as_ref()?.priority.unwrap_or_default()))
        });
        for group in self.schedule.groups(living) {
            let pods: BTreeSet<PodUid> = group.pods.into_iter().collect();
            info!(pods = pods.len(), grace = ?group.grace, "the machine goes down: ending pods");
            self.tell(Order::End { pods: pods.clone(), grace: group.grace });
            if timeout(group.grace, self.ended(&pods)).await.is_err() {
                warn!(grace = ?group.grace, "pods have not ended in their time; the next go on");
            }
        }
    }

    async fn ended(&self, pods: &BTreeSet<PodUid>) {
        let mut changes = self.board.subscribe();
        let lives = || {
            self.board.pods().iter().any(|pod| {
                let ours =
                    pod.metadata.uid.as_deref().is_some_and(|uid| pods.iter().any(|it| it.as_str() == uid));
                ours && !has_ended(pod)
            })
        };
        while lives() {
            if let Err(RecvError::Closed) = changes.recv().await {
                return;
            }
        }
    }

    fn tell(&self, order: Order) {
        // A main loop that no longer listens is the agent's own end.
        let _ = self.orders.send(order);
    }
}

async fn up_again(logind: &mut Logind) -> Result<(), LogindError> {
    while logind.announced().await? != Machine::Up {}
    Ok(())
}

/// Whether nothing of the pod runs, or ever has.
fn has_ended(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded")) || is_unscheduled(pod)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn pod(name: &str, priority: i32, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "x", "uid": name},
            "spec": {"priority": priority, "containers": []},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn critical_pods_end_last_and_a_slow_group_holds_up_nobody() {
        let board = Arc::new(Board::new("node-1", Timestamp::UNIX_EPOCH));
        for (name, priority, phase) in [
            ("web", 0, "Running"),
            ("stuck", 5, "Running"),
            ("done", 0, "Failed"),
            ("dns", 2_000_001_000, "Running"),
        ] {
            board.put_pod(pod(name, priority, phase));
        }
        let (orders, mut told) = mpsc::unbounded_channel();
        let seconds = Duration::from_secs;
        let schedule = Schedule::of(seconds(30), seconds(10));
        let shutdown = NodeShutdown { schedule, board: Arc::clone(&board), orders };
        let begun = Instant::now();
        let ending = tokio::spawn(async move { shutdown.end_pods().await });
        let uids = |names: &[&str]| names.iter().map(|name| PodUid::parse(name).unwrap()).collect();

        let first = Order::End { pods: uids(&["web", "stuck"]), grace: seconds(20) };
        assert_eq!(told.recv().await, Some(first));
        board.put_pod(pod("web", 0, "Failed"));
        let second = Order::End { pods: uids(&["dns"]), grace: seconds(10) };
        assert_eq!(told.recv().await, Some(second));
        assert_eq!(begun.elapsed(), seconds(20), "the stuck one had all of its time");
        board.put_pod(pod("dns", 2_000_001_000, "Failed"));
        ending.await.unwrap();
        assert_eq!(begun.elapsed(), seconds(20), "the last did not need theirs");
    }
}
