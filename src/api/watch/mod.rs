//! Watches: changes as they happen, one JSON object a line.
//!
//! A watcher that is too slow is not waited for: what it has missed it is told as it is by now. Where that is no longer known, it is told
//! `410 Gone` and lists again.

mod view;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::view::View;
use super::ApiState;
use super::failure::Failure;
use super::objects::Table;
use super::options::{Form, ListOptions, Mode};
use crate::board::{Change, Item, ItemKind, WatchType};

/// How many lines wait for the client's socket before its watch itself waits.
const LINES_IN_FLIGHT: usize = 8;

/// Starts a watch; it ends with the client, at its timeout or when the agent shuts down.
pub(super) fn watch(
    state: &ApiState,
    kind: ItemKind,
    namespace: Option<&str>,
    options: ListOptions,
) -> Result<Response, Failure> {
    let Mode::Watch { since, marks_initial_end, timeout } = options.mode else {
        return Err(Failure::internal("a list was taken for a watch"));
    };
    let mut watch = state.board.watch(kind, since)?;
    let known = if since.is_some() { state.board.list(kind).items } else { Vec::new() };
    let mut view = View::new(kind, namespace, options.selector, &known);
    let (lines, body) = mpsc::channel::<Result<Bytes, Infallible>>(LINES_IN_FLIGHT);
    let mut encoder = Encoder { kind, form: options.form, has_named_columns: false };
    let (shutdown, board) = (state.shutdown.clone(), Arc::clone(&state.board));
    tokio::spawn(async move {
        let told = async {
            let mut reached = watch.resource_version;
            for change in watch.past {
                if let Some((watch_type, item)) = view.see(&change) {
                    lines.send(Ok(encoder.line(watch_type, item))).await?;
                }
            }
            if marks_initial_end {
                lines.send(Ok(encoder.initial_end(watch.resource_version))).await?;
            }
            loop {
                match watch.next.recv().await {
                    Ok(change) => {
                        reached = change.resource_version;
                        if let Some((watch_type, item)) = view.see(&change) {
                            lines.send(Ok(encoder.line(watch_type, item))).await?;
                        }
                    }
                    Err(RecvError::Lagged(_)) => {
                        let Ok(again) = board.watch(kind, Some(reached)) else {
                            let gone = Failure::expired("too old resource version: the watcher was too slow");
                            return lines.send(Ok(error_line(&gone))).await;
                        };
                        (reached, watch.next) = (again.resource_version, again.next);
                        for change in again.past {
                            if let Some((watch_type, item)) = view.see(&change) {
                                lines.send(Ok(encoder.line(watch_type, item))).await?;
                            }
                        }
                    }
                    Err(RecvError::Closed) => return Ok(()),
                }
            }
        };
        tokio::select! {
            // An error only says that the client is gone.
            _ = told => {}
            () = lines.closed() => {}
            () = shutdown.cancelled() => {}
            () = after(timeout) => {}
        }
    });
    let body = Body::from_stream(ReceiverStream::new(body));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

async fn after(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

#[derive(Serialize)]
struct Frame<T> {
    #[serde(rename = "type")]
    watch_type: &'static str,
    object: T,
}

fn line<T: Serialize>(watch_type: &'static str, object: T) -> Bytes {
    let mut line = serde_json::to_vec(&Frame { watch_type, object }).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

fn error_line(failure: &Failure) -> Bytes {
    line("ERROR", failure.status())
}

struct Encoder {
    kind: ItemKind,
    form: Form,
    has_named_columns: bool,
}

impl Encoder {
    fn line(&mut self, watch_type: WatchType, item: Item) -> Bytes {
        match self.form {
            Form::Object => line(watch_type.as_str(), item),
            Form::Table(include) => {
                let version = item.metadata().resource_version.clone().unwrap_or_default();
                let names_columns = !std::mem::replace(&mut self.has_named_columns, true);
                line(watch_type.as_str(), Table::new(self.kind, version, vec![item], include, names_columns))
            }
        }
    }

    /// The bookmark by which a client knows that it has seen every object that was there when it came.
    fn initial_end(&self, version: u64) -> Bytes {
        let metadata = json!({
            "resourceVersion": version.to_string(),
            "annotations": {"k8s.io/initial-events-end": "true"},
        });
        let (kind, api_version) = match self.kind {
            ItemKind::DaemonSet => ("DaemonSet", "apps/v1"),
            ItemKind::Event => ("Event", "v1"),
            ItemKind::Node => ("Node", "v1"),
            ItemKind::Pod => ("Pod", "v1"),
        };
        line("BOOKMARK", json!({"kind": kind, "apiVersion": api_version, "metadata": metadata}))
    }
}

impl View {
    fn see(&mut self, change: &Change) -> Option<(WatchType, Item)> {
        let watch_type = self.translate(change)?;
        Some((watch_type, change.item.clone()))
    }
}
