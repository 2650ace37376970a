//! A systemd that keeps a list of what it was asked, over a real socket.

pub(crate) mod logind;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::StreamExt;
use zbus::connection::Builder;
use zbus::{Connection, Guid, Message, MessageStream, OwnedVariant, Variant};

use super::units::Units;

/// How jobs of a [`FakeSystemd`] end.
const JOB: &str = "/org/freedesktop/systemd1/job/7";

#[derive(Debug, Default)]
struct State {
    asked: Vec<String>,
    units: BTreeSet<String>,
    result: Option<&'static str>,
}

pub(crate) struct FakeSystemd {
    dir: TempDir,
    state: Arc<Mutex<State>>,
}

impl FakeSystemd {
    pub(crate) fn start() -> Self {
        let fake = Self { dir: tempfile::tempdir().unwrap(), state: Arc::default() };
        let listener = UnixListener::bind(fake.dir.path().join("private")).unwrap();
        let state = Arc::clone(&fake.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        fake
    }

    pub(crate) fn units(&self) -> Units {
        Units::of_peer(format!("unix:path={}", self.dir.path().join("private").display()))
    }

    /// From now on jobs end so.
    pub(crate) fn jobs_end(&self, result: &'static str) {
        self.state.lock().unwrap().result = Some(result);
    }

    /// What was asked since the last look, one line a request.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

async fn serve(stream: UnixStream, state: Arc<Mutex<State>>) {
    let connection = Builder::unix_stream(stream.into_std().unwrap())
        .server(Guid::generate())
        .p2p()
        .build()
        .await
        .unwrap();
    let mut calls = MessageStream::from(&connection);
    while let Some(Ok(call)) = calls.next().await {
        if !answer(&connection, &call, &state).await {
            return;
        }
    }
}

/// Answers a call; says whether the connection stays open.
async fn answer(connection: &Connection, call: &Message, state: &Mutex<State>) -> bool {
    let header = call.header();
    let method = header.member().unwrap().as_str().to_owned();
    let body = call.body();
    let (unit, properties) = match method.as_str() {
        "StartTransientUnit" => {
            type Properties = Vec<(String, OwnedVariant)>;
            let (unit, mode, properties, _) =
                body.deserialize::<(String, String, Properties, Vec<(String, Properties)>)>().unwrap();
            assert_eq!(mode, "replace");
            (unit, properties)
        }
        "SetUnitProperties" => {
            let (unit, until_boot, properties) =
                body.deserialize::<(String, bool, Vec<(String, OwnedVariant)>)>().unwrap();
            assert!(until_boot);
            (unit, properties)
        }
        "StopUnit" => (body.deserialize::<(String, String)>().unwrap().0, Vec::new()),
        other => panic!("systemd has no method {other}"),
    };
    let refusal = {
        let mut state = state.lock().unwrap();
        let shown = properties.iter().map(|(name, value)| format!(" {name}={}", shown(value)));
        state.asked.push(format!("{method} {unit}{}", shown.collect::<String>()));
        match method.as_str() {
            "StartTransientUnit" if !state.units.insert(unit.clone()) => Some("UnitExists"),
            "StopUnit" if !state.units.remove(&unit) => Some("NoSuchUnit"),
            _ => None,
        }
    };
    if let Some(refusal) = refusal {
        let name = format!("org.freedesktop.systemd1.{refusal}");
        connection.reply_error(&header, name, &"as it is").await.unwrap();
        return true;
    }
    if method == "SetUnitProperties" {
        connection.reply(&header, &()).await.unwrap();
        return true;
    }
    let Some(result) = state.lock().unwrap().result.or(Some("done")).filter(|it| *it != "lost") else {
        return false;
    };
    // Another's job ends first, and ours may end before its number is known.
    ended(connection, "/org/freedesktop/systemd1/job/6", "another.slice", "failed").await;
    ended(connection, JOB, &unit, result).await;
    connection.reply(&header, &zbus::ObjectPath::try_from(JOB).unwrap()).await.unwrap();
    true
}

fn shown(value: &Variant<'_>) -> String {
    match value {
        Variant::Bool(flag) => flag.to_string(),
        Variant::U64(number) => number.to_string(),
        Variant::Str(text) => format!("{:?}", text.as_str()),
        Variant::Array(names) => format!("[{}]", names.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => panic!("systemd has no such property: {other:?}"),
    }
}

async fn ended(connection: &Connection, job: &str, unit: &str, result: &str) {
    let body = (7_u32, zbus::ObjectPath::try_from(job).unwrap(), unit, result);
    let (path, manager) = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
    connection.emit_signal(None::<&str>, path, manager, "JobRemoved", &body).await.unwrap();
}
