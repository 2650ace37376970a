//! The httpGet probe: one GET, redirects on the same host followed.
//!
//! Rules: `pkg/probe/http/http.go` and `request.go`. No proxy, no keep-alive, no compression, no certificate checks; the body is
//! read up to 10 KiB. [`get`] is what probes and lifecycle hooks share; what an answer means is each one's own.

mod get;
mod tls;
mod url;

pub use get::{Get, GetError, HttpError, Response, get};
pub use tls::TlsError;
pub use url::{Scheme, Url};

use std::time::Duration;

use super::attempt::{Answer, ProbeError};
use super::{HttpGet, KUBERNETES_RELEASE};

pub(super) async fn probe(action: &HttpGet, host: &str, limit: Duration) -> Result<Answer, ProbeError> {
    let agent = format!("kube-probe/{KUBERNETES_RELEASE}");
    let url = Url::new(action.scheme, host, action.port, &action.path);
    let request = Get { url, headers: &action.headers, agent: &agent, limit: Some(limit) };
    match get(request).await {
        Ok(Response { status: 200..=299, .. }) => Ok(Answer::Success),
        Ok(Response { status: 300..=399, body }) => {
            let body = String::from_utf8_lossy(&body);
            Ok(Answer::Warning(format!("Probe terminated redirects, Response body: {body}")))
        }
        Ok(Response { status, .. }) => {
            Ok(Answer::Failure(format!("HTTP probe failed with statuscode: {status}")))
        }
        // The server did answer; what it said before it broke off is not known.
        Err(GetError { error: HttpError::Body(text), .. }) => Err(ProbeError::Body(text)),
        Err(error) => Ok(Answer::Failure(error.told())),
    }
}

#[cfg(test)]
mod tests;
