//! A container's log: what is there, and on request what comes.
//!
//! Files may lie on slow disks, so they are read on a thread of their own for as long as somebody reads, a bounded number at a
//! time; a log that is followed sleeps until the kernel says that its directory changed.

mod choice;
mod follow;
mod options;
mod reader;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::choice::{Attempt, Choice};
use self::options::LogOptions;
use self::reader::Reader;
use super::ApiState;
use super::failure::Failure;
use super::options::Query;
use super::resource::PODS;
use crate::cri::log_path::{LogOwner, log_path};

/// How many logs are read at a time. Each takes a thread, and each that is followed an inotify descriptor.
pub(super) const MAX_READERS: usize = 32;
/// How many pieces wait for the client's socket before the reader itself waits.
const PIECES_IN_FLIGHT: usize = 4;

/// `/api/v1/namespaces/<namespace>/pods/<name>/log`
pub(super) async fn log(
    state: &ApiState,
    namespace: &str,
    name: &str,
    query: &Query,
) -> Result<Response, Failure> {
    let pod = state.board.pod(namespace, name).ok_or_else(|| Failure::not_found(&PODS, name))?;
    let options = LogOptions::parse(query, Timestamp::now())?;
    let choice =
        choice::choose(&pod, options.container.as_deref(), options.previous).map_err(Failure::bad_request)?;
    let permit = state.log_readers.clone().try_acquire_owned().map_err(|_| {
        Failure::too_many_requests(format!(
            "{MAX_READERS} logs are being read already: end one of them first"
        ))
    })?;
    let directory = LogOwner::of(&pod).directory(&state.pod_logs_dir);
    let (pieces, body) = mpsc::channel::<io::Result<Bytes>>(PIECES_IN_FLIGHT);
    let following = options.follow && choice.is_running;
    let opened = {
        let (directory, choice, extract) = (directory.clone(), choice.clone(), options.extract.clone());
        let open = move || {
            let path = file_of(&directory, &choice)?;
            // Watched before it is read, so that nothing written in between is missed.
            let wakes = if following { Some(follow::watch(&path)?) } else { None };
            Ok((Reader::open(path, extract)?, wakes))
        };
        tokio::task::spawn_blocking(open).await
    };
    let (reader, wakes) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return Err(unreadable(&error, &choice, options.previous, name)),
        Err(error) => return Err(Failure::internal(format!("the log's reader ended early: {error}"))),
    };
    if let Some(wakes) = &wakes {
        tokio::spawn(follow::until_ended(state.clone(), pod, choice, pieces.clone(), wakes.signals()));
    }
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let send = |piece: Vec<u8>| pieces.blocking_send(Ok(piece.into())).is_ok();
        let read = match wakes {
            Some(wakes) => reader.follow(&wakes, send),
            None => reader.read(send),
        };
        if let Err(error) = read {
            // An error only says that the client is gone.
            let _ = pieces.blocking_send(Err(error));
        }
    });
    Ok(([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(ReceiverStream::new(body))).into_response())
}

/// The log file of the container's attempt that was chosen.
fn file_of(pod_directory: &Path, choice: &Choice) -> io::Result<PathBuf> {
    match choice.attempt {
        Attempt::Exactly(attempt) => Ok(pod_directory.join(log_path(&choice.container, attempt))),
        Attempt::UpTo(last) => {
            let mut newest = None;
            for entry in std::fs::read_dir(pod_directory.join(&choice.container))? {
                let name = entry?.file_name();
                let attempt = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u32>().ok());
                newest = newest.max(attempt.filter(|attempt| *attempt <= last));
            }
            let newest = newest.ok_or(io::ErrorKind::NotFound)?;
            Ok(pod_directory.join(log_path(&choice.container, newest)))
        }
    }
}

fn unreadable(error: &io::Error, choice: &Choice, previous: bool, pod: &str) -> Failure {
    let container = &choice.container;
    if error.kind() == io::ErrorKind::NotFound {
        Failure::bad_request(if previous {
            format!("previous terminated container {container:?} in pod {pod:?} not found")
        } else {
            format!(
                "container {container:?} in pod {pod:?} has no log file: the runtime made none, or it was removed"
            )
        })
    } else {
        Failure::internal(format!("the log of container {container:?} in pod {pod:?} can't be read: {error}"))
    }
}
