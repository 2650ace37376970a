//! What daemonlet tells systemd: ready, what it is doing, stopping, and that it is alive; and what it asks of it ([`units`]).
//!
//! Everything is a no-op where the service manager asked for nothing. The protocol is that of `sd_notify(3)`.
//!
//! The watchdog is a promise that the *main loop* turns. So nothing pings by itself: the loop awaits [`Watchdog::due`] beside
//! its other work and answers with [`Watchdog::alive`]. A loop that is stuck in one of its own arms, or a runtime whose only
//! thread is blocked, answers no more, and systemd restarts the agent; the pods stay.
//!
//! ```no_run
//! # async fn main_loop(work: &mut tokio::sync::mpsc::Receiver<()>) {
//! # use daemonlet::systemd::{ServiceManager, Watchdog};
//! let systemd = ServiceManager;
//! let mut watchdog = Watchdog::from_environment();
//! systemd.ready("17 pods");
//! loop {
//!     tokio::select! {
//!         () = watchdog.due() => watchdog.alive(&systemd),
//!         Some(()) = work.recv() => { /* a turn of the loop */ }
//!         else => break,
//!     }
//! }
//! systemd.stopping("asked to stop");
//! # }
//! ```

mod bus_error;
#[cfg(test)]
pub(crate) mod fake;
pub mod logind;
pub mod units;

pub use self::bus_error::BusError;

use std::future::pending;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, sleep_until};

/// The service manager that started us, if one did.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceManager;

impl ServiceManager {
    /// Start-up is finished: units ordered after us may start. `status` is shown by `systemctl status`.
    pub fn ready(self, status: &str) {
        tell(&[NotifyState::Status(status), NotifyState::Ready]);
    }

    /// What we are doing, in one line, for `systemctl status`.
    pub fn status(self, status: &str) {
        tell(&[NotifyState::Status(status)]);
    }

    /// We are ending on purpose; `why` is shown while it lasts. The watchdog stays armed: an end that hangs is cut short.
    pub fn stopping(self, why: &str) {
        tell(&[NotifyState::Status(why), NotifyState::Stopping]);
    }
}

/// Nobody to tell, or nobody who listens, is no reason to do anything else.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager could not be told our state");
    }
}

/// The main loop's side of systemd's watchdog.
#[derive(Debug)]
pub struct Watchdog {
    timer: Option<Timer>,
}

#[derive(Debug, Clone, Copy)]
struct Timer {
    every: Duration,
    next: Instant,
}

impl Watchdog {
    /// The watchdog that `WatchdogSec=` of our unit asks for; without one, a watchdog that is never due.
    pub fn from_environment() -> Self {
        Self::new(sd_notify::watchdog_enabled())
    }

    /// A watchdog that bites after `limit` without a sign of life.
    pub fn new(limit: Option<Duration>) -> Self {
        let every = limit.map(|limit| limit / 2).filter(|every| !every.is_zero());
        Self { timer: every.map(|every| Timer { every, next: Instant::now() + every }) }
    }

    /// Waits until the main loop has to show that it turns: half of what systemd allows after the last time. Safe to drop and
    /// await again.
    pub async fn due(&self) {
        match self.timer {
            Some(timer) => sleep_until(timer.next).await,
            None => pending().await,
        }
    }

    /// The main loop turns. Call it from the loop itself and from nowhere else.
    pub fn alive(&mut self, _: &ServiceManager) {
        if let Some(timer) = &mut self.timer {
            timer.next = Instant::now() + timer.every;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::process::{Command, Stdio};

    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_is_due_at_half_the_limit_and_only_the_loop_gives_it() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(120)));
        watchdog.due().await;
        assert_eq!(start.elapsed(), Duration::from_secs(60));
        timeout(Duration::ZERO, watchdog.due()).await.expect("still due until the loop has turned");
        watchdog.alive(&ServiceManager);
        watchdog.due().await;
        assert_eq!(start.elapsed(), Duration::from_secs(120));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_watchdog_nothing_is_ever_due() {
        for limit in [None, Some(Duration::ZERO)] {
            let watchdog = Watchdog::new(limit);
            timeout(Duration::from_secs(86_400), watchdog.due()).await.expect_err("never");
        }
    }

    /// The environment is the process's, so what is read from it is tried in a process of its own: this test, run again.
    #[tokio::test]
    async fn systemd_is_told_what_the_agent_says() {
        if std::env::var_os("WATCHDOG_USEC").is_some() {
            let mut watchdog = Watchdog::from_environment();
            ServiceManager.ready("2 pods");
            watchdog.due().await;
            watchdog.alive(&ServiceManager);
            ServiceManager.stopping("asked to stop");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "systemd::tests::systemd_is_told_what_the_agent_says"])
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "2000")
            .env_remove("WATCHDOG_PID")
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(child.success());
        let mut told = Vec::new();
        for _ in 0..3 {
            let mut buffer = [0; 256];
            let length = socket.recv(&mut buffer).unwrap();
            told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        assert_eq!(told, ["STATUS=2 pods\nREADY=1\n", "WATCHDOG=1\n", "STATUS=asked to stop\nSTOPPING=1\n"]);
    }
}
