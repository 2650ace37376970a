//! A plain HTTP client of the agent's API over its unix socket: one connection a request.

use std::io;
use std::path::PathBuf;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::http::request::Builder;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::error::CliError;

pub(super) const JSON: &str = "application/json";
/// How kubectl changes an object that it knows only in part.
pub(super) const STRATEGIC_MERGE_PATCH: &str = "application/strategic-merge-patch+json";
/// How kubectl asks for rows.
pub(super) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// The agent, as far as it answers.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
}

impl Client {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// One object.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.get_as(path, JSON).await
    }

    /// One object in the form that `accept` asks for.
    pub(super) async fn get_as<T: DeserializeOwned>(&self, path: &str, accept: &str) -> Result<T, CliError> {
        let body = self.open(path, accept).await?.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| CliError::Answer(error.to_string()))
    }

    /// An answer that goes on.
    pub(super) async fn stream(&self, path: &str, accept: &str) -> Result<Chunks, CliError> {
        Ok(Chunks { body: self.open(path, accept).await?.into_body(), rest: Vec::new() })
    }

    /// Has something changed, and gives the answer.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        (content_type, body): (&str, Vec<u8>),
    ) -> Result<T, CliError> {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, content_type);
        let body = self.ask(path, request.header(ACCEPT, JSON), body).await?.into_body().collect().await?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| CliError::Answer(error.to_string()))
    }

    async fn open(&self, path: &str, accept: &str) -> Result<Response<Incoming>, CliError> {
        self.ask(path, Request::get(path).header(ACCEPT, accept), Vec::new()).await
    }

    async fn ask(&self, path: &str, request: Builder, body: Vec<u8>) -> Result<Response<Incoming>, CliError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The connection's own error comes out at the request too.
        tokio::spawn(connection);
        let request = request
            .header(HOST, "daemonlet")
            .body(Full::<Bytes>::from(body))
            .map_err(|error| CliError::Usage(format!("{path} is no path to ask the agent for: {error}")))?;
        let response = sender.send_request(request).await?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await?) }
    }

    fn unreachable(&self, error: &io::Error) -> CliError {
        match error.kind() {
            io::ErrorKind::PermissionDenied => CliError::Denied(self.socket.clone()),
            io::ErrorKind::NotFound => self.not_running("there is no such socket"),
            io::ErrorKind::ConnectionRefused => self.not_running("nobody listens there"),
            _ => self.not_running(&error.to_string()),
        }
    }

    fn not_running(&self, cause: &str) -> CliError {
        CliError::NotRunning { socket: self.socket.clone(), cause: cause.to_owned() }
    }
}

async fn refusal(response: Response<Incoming>) -> Result<CliError, CliError> {
    let code = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let status = serde_json::from_slice::<Status>(&body).unwrap_or_else(|_| Status {
        message: Some(String::from_utf8_lossy(&body).trim().to_owned()),
        reason: code.canonical_reason().map(str::to_owned),
        ..Status::default()
    });
    Ok(CliError::Refused(Box::new(status)))
}

/// An answer that comes piece by piece.
#[derive(Debug)]
pub(super) struct Chunks {
    body: Incoming,
    rest: Vec<u8>,
}

impl Chunks {
    /// The next piece as it came; nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, CliError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The next line, without its end; nothing at the end.
    pub(super) async fn next_line(&mut self) -> Result<Option<Vec<u8>>, CliError> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                line.pop();
                return Ok(Some(line));
            }
            match self.next().await? {
                Some(data) => self.rest.extend_from_slice(&data),
                None => return Ok(None),
            }
        }
    }

    /// What came after the last line's end.
    pub(super) fn rest(self) -> Vec<u8> {
        self.rest
    }
}

/// A path with a query, each value escaped.
pub(super) fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// Percent-encodes everything but the characters that are safe in every part of a URL.
pub(super) fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_carries_any_value() {
        assert_eq!(with_query("/a", &[]), "/a");
        assert_eq!(
            with_query("/a", &[("labelSelector", "app in (x,ü)"), ("watch", "1")]),
            "/a?labelSelector=app%20in%20%28x%2C%C3%BC%29&watch=1"
        );
    }
}
