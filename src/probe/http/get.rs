//! One GET with its redirects, on connections of its own.
//!
//! I/O. Rules: Go's `net/http` client as the kubelet sets it up. A limit is for the whole exchange.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::tls::{self, TlsError};
use super::url::{Destination, Scheme, Url};
use crate::probe::tcp::{DialError, dial, errno_text};

const LONGEST_BODY: usize = 10 << 10;
const MAX_REDIRECTS: usize = 10;

/// What to ask for.
#[derive(Debug)]
pub struct Get<'a> {
    /// The URL.
    pub url: Url,
    /// Headers as the manifest has them.
    pub headers: &'a [(String, String)],
    /// The `User-Agent`, unless the headers have one.
    pub agent: &'a str,
    /// How long it may all take; nothing bounds it without.
    pub limit: Option<Duration>,
}

/// What a server answered last.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The first 10 KiB of the body.
    pub body: Vec<u8>,
}

/// Why there is no answer, and from where.
#[derive(Debug, thiserror::Error)]
#[error("Get \"{url}\"")]
pub struct GetError {
    /// What was asked for last.
    pub url: String,
    /// What went wrong.
    #[source]
    pub error: HttpError,
}

impl GetError {
    /// URL and cause in one text, as Go prints it.
    pub fn told(&self) -> String {
        format!("{self}: {}", self.error)
    }
}

/// What went wrong, in Go's words where Go has some.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection.
    #[error(transparent)]
    Dial(DialError),
    /// No TLS on it.
    #[error(transparent)]
    Tls(TlsError),
    /// It took too long.
    #[error("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")]
    Timeout,
    /// A header that can't be sent.
    #[error("net/http: invalid header field {0:?}")]
    Header(String),
    /// A path that can't be sent.
    #[error("net/http: invalid request target {0:?}")]
    Target(String),
    /// The server closed the connection without an answer.
    #[error("EOF")]
    Eof,
    /// The connection broke, or what came is no HTTP.
    #[error("{0}")]
    Exchange(String),
    /// The server led us round in circles.
    #[error("stopped after {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
    /// The server leads nowhere.
    #[error("failed to parse Location header {0:?}")]
    Location(String),
    /// The server leads to something that is no HTTP.
    #[error("unsupported protocol scheme {0:?}")]
    Scheme(String),
    /// The answer's body broke off.
    #[error("{0}")]
    Body(String),
}

/// GETs, following redirects that stay on the host.
///
/// # Errors
/// When there is no whole answer. A status of any kind is an answer.
pub async fn get(request: Get<'_>) -> Result<Response, GetError> {
    let deadline = request.limit.map(|limit| Instant::now() + limit);
    let mut url = request.url;
    let failed = |url: &Url, error| GetError { url: url.to_string(), error };
    let (headers, own_host) = headers(request.headers, request.agent).map_err(|error| failed(&url, error))?;

    let mut keeps_own_host = own_host.is_some();
    for _ in 0..MAX_REDIRECTS {
        let mut headers = headers.clone();
        let host = match &own_host {
            Some(host) if keeps_own_host => host.clone(),
            _ => HeaderValue::try_from(url.authority())
                .map_err(|_| failed(&url, HttpError::Header(url.authority())))?,
        };
        headers.insert(HOST, host);
        match exchange(&url, headers, deadline).await.map_err(|error| failed(&url, error))? {
            Answered::Finally(response) => return Ok(response),
            Answered::Elsewhere { location, response } => {
                let next = match url.join(&location) {
                    Some(Destination::Here(next)) => next,
                    Some(Destination::Elsewhere) => return Ok(response),
                    Some(Destination::Unsupported { scheme }) => {
                        return Err(GetError { url: location, error: HttpError::Scheme(scheme) });
                    }
                    None => return Err(failed(&url, HttpError::Location(location))),
                };
                // Go keeps a Host header of the user's own only where the redirect names no host.
                keeps_own_host &= !location.contains("//");
                url = next;
            }
        }
    }
    Err(failed(&url, HttpError::TooManyRedirects))
}

enum Answered {
    Finally(Response),
    Elsewhere { location: String, response: Response },
}

/// One request on one connection.
async fn exchange(url: &Url, headers: HeaderMap, deadline: Option<Instant>) -> Result<Answered, HttpError> {
    let connect = async { dial(&url.host, url.port()).await.map_err(HttpError::Dial) };
    let stream = before(deadline, connect).await.ok_or(HttpError::Timeout)??;
    match url.scheme {
        Scheme::Http => converse(stream, url, headers, deadline).await,
        Scheme::Https => {
            let encrypted =
                before(deadline, tls::encrypt(stream, &url.host)).await.ok_or(HttpError::Timeout)?;
            converse(encrypted.map_err(HttpError::Tls)?, url, headers, deadline).await
        }
    }
}

async fn converse<S>(
    stream: S,
    url: &Url,
    headers: HeaderMap,
    deadline: Option<Instant>,
) -> Result<Answered, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = hyper::Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = url.target().parse().map_err(|_| HttpError::Target(url.target().to_owned()))?;
    *request.headers_mut() = headers;

    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| told(&error))?;
    let talk = async {
        let answer = before(deadline, sender.send_request(request))
            .await
            .ok_or(HttpError::Timeout)?
            .map_err(|error| told(&error))?;
        let status = answer.status().as_u16();
        let location = match status {
            301 | 302 | 303 | 307 | 308 => answer.headers().get(LOCATION),
            _ => None,
        };
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let body = before(deadline, read(answer.into_body())).await.ok_or_else(|| {
            HttpError::Body(
                "context deadline exceeded (Client.Timeout or context cancellation while reading body)"
                    .into(),
            )
        })??;
        let response = Response { status, body };
        Ok(match location {
            Some(location) if !location.is_empty() => Answered::Elsewhere { location, response },
            _ => Answered::Finally(response),
        })
    };
    // The connection moves only while it is polled, and may end before the last of the body was taken from it.
    let connection = async {
        let _ = connection.await;
        pending::<()>().await;
    };
    let (talk, connection) = (pin!(talk), pin!(connection));
    tokio::select! {
        answered = talk => answered,
        () = connection => Err(HttpError::Eof),
    }
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, HttpError> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| HttpError::Body(told(&error).to_string()))?;
        if let Some(data) = frame.data_ref() {
            let room = LONGEST_BODY - read.len();
            read.extend_from_slice(&data[..room.min(data.len())]);
            if data.len() >= room {
                break;
            }
        }
    }
    Ok(read)
}

/// The headers of every request but its `Host`, and that one if the user gave it.
fn headers(given: &[(String, String)], agent: &str) -> Result<(HeaderMap, Option<HeaderValue>), HttpError> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let invalid = || HttpError::Header(name.clone());
        let name = HeaderName::try_from(name).map_err(|_| invalid())?;
        headers.append(name, HeaderValue::try_from(value).map_err(|_| invalid())?);
    }
    if !headers.contains_key(USER_AGENT) {
        headers
            .insert(USER_AGENT, HeaderValue::try_from(agent).map_err(|_| HttpError::Header(agent.into()))?);
    }
    if !headers.contains_key(ACCEPT) {
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    }
    // Given and empty means: send none.
    for unwanted in [ACCEPT, USER_AGENT] {
        if headers.get(&unwanted).is_some_and(HeaderValue::is_empty) {
            headers.remove(unwanted);
        }
    }
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let host = headers.remove(HOST).filter(|host| !host.is_empty());
    Ok((headers, host))
}

async fn before<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

fn told(error: &hyper::Error) -> HttpError {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return HttpError::Eof;
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(io) if io.kind() == io::ErrorKind::UnexpectedEof => HttpError::Eof,
        Some(io) => HttpError::Exchange(format!("read tcp: {}", errno_text(io))),
        None if error.is_parse() => HttpError::Exchange(format!("malformed HTTP response: {cause}")),
        None => HttpError::Exchange(cause.to_string()),
    }
}
