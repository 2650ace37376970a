//! A logind that announces shutdowns as it is told to, and knows whether anybody holds them back.

use std::io::{ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Held;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::StreamExt;
use zbus::connection::Builder;
use zbus::{Connection, Guid, Message, MessageStream, Variant};

use crate::systemd::logind::Bus;

#[derive(Default)]
struct State {
    is_preparing: bool,
    connections: Vec<Connection>,
    /// Our ends of the locks.
    locks: Vec<Held>,
    /// How often a lock was refused.
    refusals: usize,
}

pub(crate) struct FakeLogind {
    dir: TempDir,
    state: Arc<Mutex<State>>,
}

impl FakeLogind {
    pub(crate) fn start() -> Self {
        let fake = Self { dir: tempfile::tempdir().unwrap(), state: Arc::default() };
        let listener = UnixListener::bind(fake.dir.path().join("bus")).unwrap();
        let state = Arc::clone(&fake.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        fake
    }

    pub(crate) fn bus(&self) -> Bus {
        Bus::of_peer(format!("unix:path={}", self.dir.path().join("bus").display()))
    }

    /// Whether the machine is going down; whoever is connected hears of it.
    pub(crate) async fn prepare(&self, is_preparing: bool) {
        let connections = {
            let mut state = self.state.lock().unwrap();
            state.is_preparing = is_preparing;
            state.connections.clone()
        };
        let (path, manager) = ("/org/freedesktop/login1", "org.freedesktop.login1.Manager");
        for connection in connections {
            connection
                .emit_signal(None::<&str>, path, manager, "PrepareForShutdown", &is_preparing)
                .await
                .unwrap();
        }
    }

    /// Breaks off all connections.
    pub(crate) async fn hang_up(&self) {
        let connections = std::mem::take(&mut self.state.lock().unwrap().connections);
        for connection in connections {
            connection.close().await.unwrap();
        }
    }

    /// Whether somebody holds a shutdown back.
    pub(crate) fn is_held_back(&self) -> bool {
        let is_held = |lock: &mut Held| matches!(lock.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
        self.state.lock().unwrap().locks.iter_mut().any(is_held)
    }

    /// How often a lock was refused.
    pub(crate) fn refusals(&self) -> usize {
        self.state.lock().unwrap().refusals
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
    state.lock().unwrap().connections.push(connection.clone());
    while let Some(Ok(call)) = calls.next().await {
        // Whoever has hung up hears no answer.
        let _ = answer(&connection, &call, &state).await;
    }
}

async fn answer(connection: &Connection, call: &Message, state: &Mutex<State>) -> zbus::Result<()> {
    let header = call.header();
    match header.member().unwrap().as_str() {
        "Inhibit" => {
            let ours = {
                let mut state = state.lock().unwrap();
                if state.is_preparing {
                    state.refusals += 1;
                    None
                } else {
                    let (ours, theirs) = Held::pair().unwrap();
                    ours.set_nonblocking(true).unwrap();
                    state.locks.push(ours);
                    Some(theirs)
                }
            };
            match ours {
                Some(theirs) => connection.reply(&header, &zbus::OwnedFd::from(OwnedFd::from(theirs))).await,
                None => {
                    let name = "org.freedesktop.login1.OperationInProgress";
                    let text = "The operation inhibition has been requested for is already running";
                    connection.reply_error(&header, name, &text).await
                }
            }
        }
        "Get" => {
            let (_, property) = call.body().deserialize::<(String, String)>().unwrap();
            let value = match property.as_str() {
                "InhibitDelayMaxUSec" => Variant::from(u64::MAX),
                "PreparingForShutdown" => Variant::from(state.lock().unwrap().is_preparing),
                other => panic!("logind has no property {other}"),
            };
            connection.reply(&header, &value).await
        }
        other => panic!("logind has no method {other}"),
    }
}
