//! Ends the pods before the machine goes down, part by part, and has the machine wait for it.
//!
//! What logind says is asked anew on each connection, before anything else: a shutdown outlasts an agent, and so may its end. One that was
//! announced to an agent before this can't be held back any more, but its pods end in their order all the same. A machine without logind, or
//! one whose logind doesn't answer, is asked again at long intervals: pods run all the same, and end as everything else does when such a
//! machine goes down. Which pods there are is the main loop's to say: the board doesn't know of one that is only being made. Rules: KEP-2000;
//! the order is [`crate::shutdown`]'s.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::error_chain::error_chain;
use crate::pod::identity::PodUid;
use crate::shutdown::Schedule;
use crate::systemd::logind::{Bus, Logind, LogindError, Machine};

/// When a logind that can't be asked is asked again: soon at first, for it may start after the agent, and then seldom.
const RETRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
const SELDOM: Duration = Duration::from_secs(3600);
const WHY: &str = "pods end gracefully first";

/// What the main loop has to do for the shutdown.
#[derive(Debug)]
pub(super) enum Order {
    /// Nobody says whether the machine goes down. What was said last goes on.
    Unknown,
    /// The machine stays up, or stays up after all.
    Up,
    /// It goes down: no pod begins any more.
    GoDown {
        /// To be told which pods there are to end, each with its priority.
        living: oneshot::Sender<Vec<(PodUid, i32)>>,
    },
    /// End these pods.
    End {
        /// Which.
        pods: BTreeSet<PodUid>,
        /// Within so much time.
        grace: Duration,
        /// To be told when nothing of them is left.
        ended: oneshot::Sender<()>,
    },
}

/// Watches for the machine's shutdown.
pub(super) struct NodeShutdown {
    pub(super) schedule: Schedule,
    pub(super) bus: Bus,
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
            self.tell(Order::Unknown);
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
        let mut logind = Logind::connect(&self.bus).await?;
        let mut machine = logind.machine().await?;
        if machine == Machine::Up {
            self.tell(Order::Up);
            self.allow_delay(&logind).await?;
        }
        loop {
            // There is none while the machine goes down already.
            let lock = logind.hold_back(WHY).await?;
            while machine == Machine::Up {
                machine = logind.announced().await?;
            }
            let stays = tokio::select! {
                () = self.end_pods() => false,
                stays = up_again(&mut logind) => stays.map(|()| true)?,
            };
            drop(lock);
            if !stays {
                up_again(&mut logind).await?;
            }
            machine = Machine::Up;
            self.tell(Order::Up);
        }
    }

    async fn allow_delay(&self, logind: &Logind) -> Result<(), LogindError> {
        let longest = self.schedule.longest();
        let allowed = logind.allow_delay(longest).await?;
        if allowed < longest {
            warn!(
                ?allowed,
                ?longest,
                "logind does not let shutdowns wait for as long as pods may take to end"
            );
        }
        Ok(())
    }

    /// Ends the pods of one group after the other. A group that takes longer than it may doesn't hold up the next.
    async fn end_pods(&self) {
        let (living, all_living) = oneshot::channel();
        self.tell(Order::GoDown { living });
        // A main loop that says nothing is the agent's own end.
        let Ok(pods) = all_living.await else { return };
        for group in self.schedule.groups(pods) {
            let (pods, grace): (BTreeSet<PodUid>, _) = (group.pods.into_iter().collect(), group.grace);
            info!(pods = pods.len(), ?grace, "the machine goes down: ending pods");
            let (ended, all_ended) = oneshot::channel();
            self.tell(Order::End { pods, grace, ended });
            if timeout(grace, all_ended).await.is_err() {
                warn!(?grace, "pods have not ended in their time; the next go on");
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
