//! The machine's shutdown as logind announces it: held back for a while, and heard of.
//!
//! A lock that delays is a file descriptor: the machine waits until it is closed, or until `InhibitDelayMaxSec` is over. What must be
//! longer than that maximum is asked for by a drop-in below `/run`, which the next boot forgets.
//!
//! What this module must never do: decide what is done with the time. Interface: `org.freedesktop.login1(5)`; the kubelet's
//! `pkg/kubelet/nodeshutdown/systemd`.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt;
use zbus::connection::Builder;
use zbus::{Connection, MatchRule, MessageStream, OwnedFd, OwnedVariant};

use super::bus_error::BusError;

const SERVICE: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// What logind answers whoever would hold back what it has already announced.
const IN_PROGRESS: &str = "org.freedesktop.login1.OperationInProgress";
const DROP_IN: &str = "/run/systemd/logind.conf.d/99-daemonlet.conf";
/// How long logind may take to read its configuration again.
const RELOADED_WITHIN: Duration = Duration::from_secs(5);

/// Why logind can't be asked.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum LogindError {
    #[error("reach the system bus")]
    Connect { source: BusError },
    #[error("ask logind for {what}")]
    Call { what: &'static str, source: BusError },
    #[error("write {DROP_IN}, by which logind learns how long a shutdown may be held back")]
    DropIn { source: io::Error },
    #[error("logind closed the connection")]
    Closed,
}

/// Whether the machine is going down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// It stays up, or stays up after all.
    Up,
    /// It goes down as soon as nobody holds it back.
    GoingDown,
}

/// Where logind answers.
#[derive(Debug, Clone, Default)]
pub struct Bus {
    /// Where it answers with no bus in between; the system bus otherwise.
    peer: Option<String>,
}

/// A shutdown waits while this lives, but for no longer than logind's maximum.
#[derive(Debug)]
pub struct DelayLock {
    _held: OwnedFd,
}

/// A connection to logind.
pub struct Logind {
    connection: Connection,
    news: MessageStream,
}

impl Bus {
    /// The logind that answers at a D-Bus address with no bus in between.
    pub fn of_peer(address: impl Into<String>) -> Self {
        Self { peer: Some(address.into()) }
    }
}

impl Logind {
    /// Connects, and listens to what logind announces from now on.
    pub async fn connect(bus: &Bus) -> Result<Self, LogindError> {
        let builder = match &bus.peer {
            None => Builder::system(),
            Some(address) => Builder::address(address.as_str()).p2p(),
        };
        let connection = builder.build().await;
        let connection = connection.map_err(|source| LogindError::Connect { source: source.into() })?;
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(SERVICE)
            .path(PATH)
            .interface(MANAGER)
            .member("PrepareForShutdown")
            .build();
        let news = match rule {
            Ok(rule) => MessageStream::for_match_rule(rule, &connection, None).await,
            Err(source) => Err(source),
        };
        let news =
            news.map_err(|source| LogindError::Call { what: "its announcements", source: source.into() })?;
        Ok(Self { connection, news })
    }

    /// Holds back every shutdown from now on. Nothing can hold back one that is announced already.
    pub async fn hold_back(&self, why: &str) -> Result<Option<DelayLock>, LogindError> {
        let request = ("shutdown", "daemonlet", why, "delay");
        let answer = self.connection.call_method(Some(SERVICE), PATH, Some(MANAGER), "Inhibit", &request);
        let fd = match answer.await {
            Ok(answer) => answer.body().deserialize::<OwnedFd>(),
            Err(source) => Err(source),
        };
        match fd.map_err(BusError::from) {
            Ok(held) => Ok(Some(DelayLock { _held: held })),
            Err(source) if source.answered() == Some(IN_PROGRESS) => Ok(None),
            Err(source) => Err(LogindError::Call { what: "a delay lock", source }),
        }
    }

    /// How long a shutdown waits at most.
    pub async fn longest_delay(&self) -> Result<Duration, LogindError> {
        let micros = self.property("InhibitDelayMaxUSec").await?;
        Ok(u64::try_from(micros).map(Duration::from_micros).unwrap_or_default())
    }

    /// Whether the machine is going down already.
    pub async fn machine(&self) -> Result<Machine, LogindError> {
        let going_down = self.property("PreparingForShutdown").await?;
        Ok(if bool::try_from(going_down).unwrap_or(false) { Machine::GoingDown } else { Machine::Up })
    }

    /// Has a shutdown wait for as long as `longest`, if it doesn't already; says for how long it waits now.
    pub async fn allow_delay(&self, longest: Duration) -> Result<Duration, LogindError> {
        let allowed = self.longest_delay().await?;
        if allowed >= longest {
            return Ok(allowed);
        }
        write_drop_in(Path::new(DROP_IN), longest).map_err(|source| LogindError::DropIn { source })?;
        let reload = ("systemd-logind.service", "main", 1_i32);
        let (systemd, manager) = ("org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager");
        let path = "/org/freedesktop/systemd1";
        // SIGHUP, to which it answers by reading its configuration.
        let sent = self.connection.call_method(Some(systemd), path, Some(manager), "KillUnit", &reload).await;
        sent.map_err(|source| LogindError::Call {
            what: "reading its configuration again",
            source: source.into(),
        })?;
        let deadline = Instant::now() + RELOADED_WITHIN;
        loop {
            let allowed = self.longest_delay().await?;
            if allowed >= longest || Instant::now() >= deadline {
                return Ok(allowed);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits for the next announcement.
    pub async fn announced(&mut self) -> Result<Machine, LogindError> {
        let failed =
            |source: zbus::Error| LogindError::Call { what: "its announcements", source: source.into() };
        let message = self.news.next().await.ok_or(LogindError::Closed)?.map_err(failed)?;
        let going_down = message.body().deserialize::<bool>().map_err(failed)?;
        Ok(if going_down { Machine::GoingDown } else { Machine::Up })
    }

    async fn property(&self, name: &'static str) -> Result<OwnedVariant, LogindError> {
        let request = (MANAGER, name);
        let answer = self.connection.call_method(Some(SERVICE), PATH, Some(PROPERTIES), "Get", &request);
        let value = match answer.await {
            Ok(answer) => answer.body().deserialize::<OwnedVariant>(),
            Err(source) => Err(source),
        };
        value.map_err(|source| LogindError::Call { what: name, source: source.into() })
    }
}

fn write_drop_in(path: &Path, longest: Duration) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let seconds = longest.as_secs() + u64::from(longest.subsec_nanos() > 0);
    let text = format!(
        "# Pods end gracefully before the machine goes down.\n[Login]\nInhibitDelayMaxSec={seconds}\n"
    );
    fs::write(path, text)
}
