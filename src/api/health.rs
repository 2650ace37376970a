//! Whether the agent lives and is ready, in the words of the API server's own health endpoints.

use std::fmt::Write as _;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::ApiState;
use super::options::{Query, flag};
use crate::board::{CLASSIC_CONTENT_TYPE, METRICS_CONTENT_TYPE};

/// `/livez`, `/healthz`: the agent has one thread, so an answer is the proof.
pub(super) fn live() -> Response {
    "ok".into_response()
}

/// `/readyz`: every condition is met. With `verbose`, or when one is not, each of them is named.
pub(super) fn ready(state: &ApiState, query: &Query) -> Response {
    let readiness = state.board.readiness();
    let is_ready = readiness.is_ready();
    if is_ready && !flag(query, "verbose") {
        return "ok".into_response();
    }
    let mut text = String::new();
    for (name, pending) in readiness.conditions() {
        // Writing to a String can't fail.
        let _ = match pending {
            None => writeln!(text, "[+]{name} ok"),
            Some(pending) => writeln!(text, "[-]{name} failed: {pending}"),
        };
    }
    let (code, end) = if is_ready {
        (StatusCode::OK, "readyz check passed\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "readyz check failed\n")
    };
    text.push_str(end);
    (code, text).into_response()
}

/// `/metrics`, in the older text format for whoever asks for plain text and knows nothing newer.
pub(super) fn metrics(state: &ApiState, headers: &HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/plain") && !accept.contains("openmetrics-text") {
        let text = state.metrics.encode_classic(&state.board);
        return ([(header::CONTENT_TYPE, CLASSIC_CONTENT_TYPE)], text).into_response();
    }
    ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], state.metrics.encode(&state.board)).into_response()
}
