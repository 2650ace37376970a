//! A client of the agent's API over its unix socket, and waiting by means of watches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout_at};

use super::DEADLINE;

/// Asks the agent as any client does.
#[derive(Debug)]
pub(crate) struct Api {
    socket: PathBuf,
    runtime: Runtime,
}

/// Objects by namespace and name.
pub(crate) type Objects = BTreeMap<String, Value>;

impl Api {
    pub(super) fn new(socket: PathBuf) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { socket, runtime }
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What the agent answers: the status and the body.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, String), String> {
        self.runtime.block_on(async {
            let response = open(&self.socket, path).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
            Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        })
    }

    /// An object or a list that must be there.
    #[track_caller]
    pub(crate) fn object(&self, path: &str) -> Value {
        let (status, body) = self.get(path).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until the agent is ready by its own word.
    pub(crate) fn wait_ready(&self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let answer = self.get("/readyz?verbose");
            match answer {
                Ok((200, _)) => return Ok(()),
                _ if begun.elapsed() > DEADLINE => return Err(format!("the agent is not ready: {answer:?}")),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Watches the objects of a path until they are as wanted, and gives what `judge` then says.
    ///
    /// # Errors
    /// After the deadline, with the objects as they were last seen. An agent that goes away is waited for.
    pub(crate) fn wait<T>(
        &self,
        path: &str,
        mut judge: impl FnMut(&Objects) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let mut seen = Err("the agent was never reached".to_owned());
        let watched = self.runtime.block_on(async {
            let watching = async {
                loop {
                    if let Some(result) = watch(&self.socket, path, &mut seen, &mut judge).await {
                        return result;
                    }
                    // The agent is away, or ends its watches.
                    sleep(Duration::from_millis(20)).await;
                }
            };
            timeout_at(deadline, watching).await
        });
        watched.map_err(|_| format!("waited {DEADLINE:?} in vain; last seen: {}", brief(&seen)))
    }
}

/// One watch, as long as it lasts.
async fn watch<T>(
    socket: &Path,
    path: &str,
    seen: &mut Result<Objects, String>,
    judge: &mut impl FnMut(&Objects) -> Option<T>,
) -> Option<T> {
    // With the mark of the initial end, no judgement is made of half a list.
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut body = match open(socket, &format!("{path}?{query}")).await {
        Ok(response) if response.status().is_success() => response.into_body(),
        Ok(response) => {
            *seen = Err(format!("{path}: {}", response.status()));
            return None;
        }
        Err(error) => {
            *seen = Err(error);
            return None;
        }
    };
    let mut objects = Objects::new();
    let mut is_complete = false;
    let mut rest = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        rest.extend_from_slice(frame.data_ref()?);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line).unwrap();
            let object = event["object"].clone();
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            let key = format!("{}/{}", text("namespace"), text("name"));
            match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => drop(objects.insert(key, object)),
                Some("DELETED") => drop(objects.remove(&key)),
                Some("BOOKMARK") => is_complete = true,
                other => panic!("a watch of {path} says {other:?}: {event}"),
            }
            if is_complete {
                let verdict = judge(&objects);
                *seen = Ok(objects.clone());
                if verdict.is_some() {
                    return verdict;
                }
            }
        }
    }
    None
}

async fn open(socket: &Path, path: &str) -> Result<Response<Incoming>, String> {
    let stream =
        UnixStream::connect(socket).await.map_err(|error| format!("{}: {error}", socket.display()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "daemonlet").body(Empty::<Bytes>::new()).unwrap();
    sender.send_request(request).await.map_err(|error| format!("{path}: {error}"))
}

/// What of the objects says why they are not as wanted.
fn brief(seen: &Result<Objects, String>) -> String {
    match seen {
        Err(error) => error.clone(),
        Ok(objects) if objects.is_empty() => "nothing".to_owned(),
        Ok(objects) => {
            let lines = objects.iter().map(|(key, object)| {
                let shown = if object["status"].is_null() { object } else { &object["status"] };
                format!("\n  {key}: {shown}")
            });
            lines.collect()
        }
    }
}
