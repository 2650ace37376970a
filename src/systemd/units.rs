//! systemd's transient slices over D-Bus: made, changed and stopped.
//!
//! A connection to the bus lasts for one request: one that is not held needs no mending when the bus or systemd is started anew, and wakes
//! nobody. (systemd's own socket, `/run/systemd/private`, would spare the bus; but systemd answers there under a name that the D-Bus
//! specification does not allow for, and zbus refuses it.)
//!
//! What this module must never do: decide what a unit may use, or touch a unit that it is not given.
//! Interface: `org.freedesktop.systemd1(5)`.

use std::time::Duration;

use thiserror::Error;
use tokio_stream::StreamExt;
use zbus::connection::Builder;
use zbus::{Connection, MatchRule, Message, MessageStream, Variant};

use super::bus_error::BusError;

const SERVICE: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
/// How long a request may take, its job included; the runtime's library waits as long.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why systemd did not do what it was asked.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum UnitError {
    #[error(
        "reach systemd over the system bus; where there is no D-Bus, install it, and where systemd isn't the init of this machine, \
         the agent and the runtime both need the cgroupfs driver"
    )]
    Connect { source: BusError },
    #[error("ask systemd for {method} of {unit}")]
    Call { method: &'static str, unit: String, source: BusError },
    #[error("systemd answered {method} of {unit} with the job result {result:?}")]
    Job { method: &'static str, unit: String, result: String },
    #[error("systemd closed the connection before {method} of {unit} was done")]
    Closed { method: &'static str, unit: String },
    #[error("systemd did not finish {method} of {unit} within {} s", DEADLINE.as_secs())]
    TimedOut { method: &'static str, unit: String },
}

/// One property of a unit, by its name on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// As `systemctl show` writes it, but for times (`CPUQuotaPerSecUSec`).
    pub name: &'static str,
    /// What it is to be.
    pub value: Value,
}

/// The types that properties of slices have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `b`
    Flag(bool),
    /// `t`
    Number(u64),
    /// `s`
    Text(String),
    /// `as`
    Names(Vec<String>),
}

impl Property {
    fn on_the_wire(&self) -> (&'static str, Variant<'_>) {
        let value = match &self.value {
            Value::Flag(flag) => Variant::from(*flag),
            Value::Number(number) => Variant::from(*number),
            Value::Text(text) => Variant::from(text.as_str()),
            Value::Names(names) => Variant::from(names.iter().map(String::as_str).collect::<Vec<_>>()),
        };
        (self.name, value)
    }
}

/// What became of a request to start a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It has been made, with the properties asked for.
    New,
    /// It was there, and is as it was.
    Existing,
}

/// systemd's units.
#[derive(Debug, Clone, Default)]
pub struct Units {
    /// Where a systemd answers with no bus in between; the system bus otherwise.
    peer: Option<String>,
}

impl Units {
    /// The units of the systemd that answers at a D-Bus address with no bus in between.
    pub fn of_peer(address: impl Into<String>) -> Self {
        Self { peer: Some(address.into()) }
    }

    /// Makes a transient unit and waits until it is active.
    pub async fn start(&self, unit: &str, properties: &[Property]) -> Result<Started, UnitError> {
        let properties: Vec<_> = properties.iter().map(Property::on_the_wire).collect();
        let auxiliary: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
        let request = Request { units: self, method: "StartTransientUnit", unit };
        match request.job(&(unit, "replace", properties, auxiliary)).await {
            Ok(()) => Ok(Started::New),
            Err(error) if error.is(UNIT_EXISTS) => Ok(Started::Existing),
            Err(error) => Err(error),
        }
    }

    /// Changes properties of a unit until the next boot.
    pub async fn set(&self, unit: &str, properties: &[Property]) -> Result<(), UnitError> {
        let properties: Vec<_> = properties.iter().map(Property::on_the_wire).collect();
        let request = Request { units: self, method: "SetUnitProperties", unit };
        let call = async {
            let connection = request.connect().await?;
            request.call(&connection, &(unit, true, properties)).await
        };
        request.within_deadline(call).await.map(drop)
    }

    /// Stops a unit and waits until it has gone; one that isn't there is done.
    pub async fn stop(&self, unit: &str) -> Result<(), UnitError> {
        let request = Request { units: self, method: "StopUnit", unit };
        match request.job(&(unit, "replace")).await {
            Err(error) if error.is(NO_SUCH_UNIT) => Ok(()),
            other => other,
        }
    }
}

impl UnitError {
    fn is(&self, name: &str) -> bool {
        matches!(self, Self::Call { source, .. } if source.answered() == Some(name))
    }
}

/// One method on one unit.
#[derive(Clone, Copy)]
struct Request<'a> {
    units: &'a Units,
    method: &'static str,
    unit: &'a str,
}

impl Request<'_> {
    async fn within_deadline<T>(
        self,
        work: impl Future<Output = Result<T, UnitError>>,
    ) -> Result<T, UnitError> {
        let ended = tokio::time::timeout(DEADLINE, work).await;
        ended.unwrap_or_else(|_| Err(UnitError::TimedOut { method: self.method, unit: self.unit.to_owned() }))
    }

    async fn connect(self) -> Result<Connection, UnitError> {
        let builder = match &self.units.peer {
            None => Builder::system(),
            Some(address) => Builder::address(address.as_str()).p2p(),
        };
        builder.build().await.map_err(|source| UnitError::Connect { source: source.into() })
    }

    async fn call<B>(self, connection: &Connection, body: &B) -> Result<Message, UnitError>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let answer = connection.call_method(Some(SERVICE), PATH, Some(MANAGER), self.method, body).await;
        answer.map_err(|source| self.refused(source))
    }

    fn refused(self, source: zbus::Error) -> UnitError {
        UnitError::Call { method: self.method, unit: self.unit.to_owned(), source: source.into() }
    }

    async fn ended_jobs(self, connection: &Connection) -> zbus::Result<MessageStream> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .path(PATH)
            .interface(MANAGER)
            .member("JobRemoved")
            .build()?;
        MessageStream::for_match_rule(rule, connection, None).await
    }

    /// Calls a method that starts a job, and waits for the job's end. Both arrive in any order.
    async fn job<B>(self, body: &B) -> Result<(), UnitError>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let work = async {
            let connection = self.connect().await?;
            let mut signals = self.ended_jobs(&connection).await.map_err(|source| self.refused(source))?;
            let mut answer = std::pin::pin!(self.call(&connection, body));
            let (mut job, mut ended) = (None, Vec::new());
            loop {
                // The signals are read while the answer is out: a full queue of them would hold it up.
                tokio::select! {
                    message = &mut answer, if job.is_none() => {
                        let path = message?.body().deserialize::<zbus::OwnedObjectPath>();
                        job = Some(path.map_err(|source| self.refused(source))?);
                    }
                    message = signals.next() => match message {
                        Some(Ok(message)) => ended.extend(Ended::read(&message)),
                        Some(Err(source)) => return Err(self.refused(source)),
                        None => {
                            return Err(UnitError::Closed { method: self.method, unit: self.unit.to_owned() });
                        }
                    },
                }
                let ours =
                    ended.iter().find(|ended| job.as_ref().is_some_and(|job| job.as_str() == ended.job));
                match ours {
                    None => {}
                    Some(Ended { result, .. }) if result == "done" => return Ok(()),
                    Some(Ended { result, .. }) => {
                        let (unit, result) = (self.unit.to_owned(), result.clone());
                        return Err(UnitError::Job { method: self.method, unit, result });
                    }
                }
            }
        };
        self.within_deadline(work).await
    }
}

/// A job that is no more.
struct Ended {
    job: String,
    result: String,
}

impl Ended {
    fn read(message: &Message) -> Option<Self> {
        let body = message.body();
        let (_, job, _, result): (u32, zbus::OwnedObjectPath, String, String) = body.deserialize().ok()?;
        Some(Self { job: job.as_str().to_owned(), result })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeSystemd;
    use super::*;
    use crate::error_chain::error_chain;

    #[tokio::test]
    async fn a_slice_is_made_once_changed_and_stopped() {
        let systemd = FakeSystemd::start();
        let units = systemd.units();
        let memory = [Property { name: "MemoryMax", value: Value::Number(5) }];
        assert_eq!(units.start("a.slice", &memory).await.unwrap(), Started::New);
        assert_eq!(units.start("a.slice", &memory).await.unwrap(), Started::Existing);
        units.set("a.slice", &memory).await.unwrap();
        units.stop("a.slice").await.unwrap();
        units.stop("a.slice").await.expect("one that has gone is stopped");
        assert_eq!(
            systemd.asked(),
            [
                "StartTransientUnit a.slice MemoryMax=5",
                "StartTransientUnit a.slice MemoryMax=5",
                "SetUnitProperties a.slice MemoryMax=5",
                "StopUnit a.slice",
                "StopUnit a.slice",
            ]
        );
    }

    #[tokio::test]
    async fn what_systemd_refuses_or_breaks_off_is_an_error() {
        let systemd = FakeSystemd::start();
        systemd.jobs_end("failed");
        let failed = systemd.units().start("a.slice", &[]).await.unwrap_err();
        assert_eq!(
            error_chain(&failed),
            "systemd answered StartTransientUnit of a.slice with the job result \"failed\""
        );
        systemd.jobs_end("lost");
        let lost = systemd.units().stop("a.slice").await.unwrap_err();
        assert!(error_chain(&lost).contains("StopUnit of a.slice"), "{lost}");
        let nobody =
            Units::of_peer("unix:path=/nonexistent/private").start("a.slice", &[]).await.unwrap_err();
        assert!(matches!(nobody, UnitError::Connect { .. }), "{nobody}");
    }
}
