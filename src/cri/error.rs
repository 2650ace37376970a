//! Why a CRI call failed: what was called on which object, and what the runtime said.
//!
//! The kinds are those that a caller treats differently. Events on a pod show what the kubelet's do: [`CriError::message`], the runtime's
//! bare words, where a container is created or started, and [`CriError::rpc_text`] elsewhere; logs and the CLI show the whole error.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};

use super::{Endpoint, Method};

/// A call that was made: a method and the object it was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub method: Method,
    /// The id or name that it was called on; empty for calls on the runtime as a whole.
    pub object: Box<str>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.object.is_empty() {
            write!(f, "{}", self.method)
        } else {
            write!(f, "{} {}", self.method, self.object)
        }
    }
}

/// Why a CRI call failed.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// No answer came: nothing listens, the connection broke, or the runtime is starting up.
    #[error(
        "{call}: the runtime at {endpoint} cannot be reached; is it running, and is this its CRI socket?"
    )]
    Unavailable {
        /// What was tried.
        call: Call,
        /// Where.
        endpoint: Endpoint,
        /// What the transport said.
        source: Outage,
    },
    /// The answer took too long, by our clock or by the runtime's.
    #[error("{call}: {}", late(*.after, .message))]
    DeadlineExceeded {
        /// What was tried.
        call: Call,
        /// Our own limit, when that was the one that passed.
        after: Option<Duration>,
        /// The runtime's words.
        message: Box<str>,
    },
    /// The object, or one that it needs, is not there.
    #[error("{call}: the runtime has no such object: {message}")]
    NotFound {
        /// What was tried.
        call: Call,
        /// The runtime's words.
        message: Box<str>,
    },
    /// The runtime does not have the method.
    #[error("{call}: {}", missing(.message))]
    Unimplemented {
        /// What was tried.
        call: Call,
        /// The runtime's words.
        message: Box<str>,
    },
    /// The runtime refused or failed.
    #[error("{call}: the runtime refused ({code:?}): {message}")]
    Rejected {
        /// What was tried.
        call: Call,
        /// The gRPC code; containerd says `Unknown` to most things.
        code: Code,
        /// The runtime's words.
        message: Box<str>,
    },
    /// The runtime answered, but left out what every v1 runtime must give.
    #[error("{call}: the runtime's answer is no use: {problem}")]
    Malformed {
        /// What was tried.
        call: Call,
        /// What is wrong with the answer.
        problem: Box<str>,
    },
}

/// The innermost cause of a broken connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Outage(Box<str>);

impl Outage {
    /// The innermost cause that a status has, or else its words.
    pub(crate) fn of(status: &Status) -> Self {
        let innermost = status.source().and_then(|source| causes(source).last());
        Self(innermost.map_or_else(|| status.message().into(), |cause| cause.to_string().into()))
    }
}

impl CriError {
    /// Sorts a gRPC status into the kind it is.
    pub(super) fn from_status(call: Call, endpoint: &Endpoint, status: &Status) -> Self {
        let message: Box<str> = status.message().into();
        if let Some(source) = status.source() {
            // Only the transport attaches a source; what a runtime sends is a code and words.
            if causes(source).any(<dyn Error>::is::<tonic::TimeoutExpired>) {
                return Self::deadline(call, None);
            }
            return Self::Unavailable { call, endpoint: endpoint.clone(), source: Outage::of(status) };
        }
        match status.code() {
            Code::Unavailable => {
                Self::Unavailable { call, endpoint: endpoint.clone(), source: Outage(message) }
            }
            Code::DeadlineExceeded => Self::DeadlineExceeded { call, after: None, message },
            Code::NotFound => Self::NotFound { call, message },
            Code::Unimplemented => Self::Unimplemented { call, message },
            code => Self::Rejected { call, code, message },
        }
    }

    pub(super) fn deadline(call: Call, after: Option<Duration>) -> Self {
        // The words that a kubelet's own deadline leaves in an event.
        Self::DeadlineExceeded { call, after, message: "context deadline exceeded".into() }
    }

    pub(super) fn malformed(call: Call, problem: impl Into<Box<str>>) -> Self {
        Self::Malformed { call, problem: problem.into() }
    }

    /// What was tried.
    pub fn call(&self) -> &Call {
        match self {
            Self::Unavailable { call, .. }
            | Self::DeadlineExceeded { call, .. }
            | Self::NotFound { call, .. }
            | Self::Unimplemented { call, .. }
            | Self::Rejected { call, .. }
            | Self::Malformed { call, .. } => call,
        }
    }

    /// The bare words: the runtime's where it said any, else the transport's or ours.
    pub fn message(&self) -> &str {
        match self {
            Self::Unavailable { source, .. } => &source.0,
            Self::DeadlineExceeded { message, .. }
            | Self::NotFound { message, .. }
            | Self::Unimplemented { message, .. }
            | Self::Rejected { message, .. }
            | Self::Malformed { problem: message, .. } => message,
        }
    }

    /// The bare words with their code in front, as grpc-go prints an error: `rpc error: code = NotFound desc = …`. So they stand in most of
    /// a kubelet's messages. What we ourselves find wrong with an answer has no code.
    pub fn rpc_text(&self) -> String {
        let message = self.message();
        let code = match self {
            Self::Malformed { .. } => return message.to_owned(),
            _ => self.code(),
        };
        rpc_text(code, message)
    }

    /// The gRPC code: the runtime's, or the one that the failure amounts to.
    pub fn code(&self) -> Code {
        match self {
            Self::Unavailable { .. } => Code::Unavailable,
            Self::DeadlineExceeded { .. } => Code::DeadlineExceeded,
            Self::NotFound { .. } => Code::NotFound,
            Self::Unimplemented { .. } => Code::Unimplemented,
            Self::Rejected { code, .. } => *code,
            Self::Malformed { .. } => Code::Unknown,
        }
    }

    /// Whether the object is gone: for stop, remove and status calls that is an answer, not a failure.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the runtime can not be spoken to at all, so that nothing is known about the object.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// A code and its words as grpc-go prints them.
pub(crate) fn rpc_text(code: Code, message: &str) -> String {
    match code {
        Code::Ok => format!("rpc error: code = OK desc = {message}"),
        Code::Cancelled => format!("rpc error: code = Canceled desc = {message}"),
        code => format!("rpc error: code = {code:?} desc = {message}"),
    }
}

fn causes<'e>(first: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(first), |&error| error.source())
}

fn late(after: Option<Duration>, message: &str) -> String {
    after.map_or_else(
        || format!("the runtime ran out of time: {message}"),
        |after| format!("the runtime did not answer within {after:?}"),
    )
}

/// A runtime that lacks the whole service has its CRI switched off, which is the operator's to change.
fn missing(message: &str) -> String {
    if message.starts_with("unknown service") {
        format!(
            "no CRI v1 is served there ({message}); containerd wants its cri plugin not in disabled_plugins"
        )
    } else {
        format!("the runtime does not offer it: {message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_as_grpc_go_prints_it() {
        let call = || Call { method: Method::StopContainer, object: "a".into() };
        let endpoint: Endpoint = "/run/x.sock".parse().unwrap();
        let told = |status: &Status| CriError::from_status(call(), &endpoint, status).rpc_text();
        for (status, expected) in [
            (Status::unknown("ttrpc: closed"), "rpc error: code = Unknown desc = ttrpc: closed"),
            (Status::not_found("gone"), "rpc error: code = NotFound desc = gone"),
            (Status::cancelled("no more"), "rpc error: code = Canceled desc = no more"),
            (Status::unavailable("away"), "rpc error: code = Unavailable desc = away"),
        ] {
            assert_eq!(told(&status), expected);
        }
        let late = CriError::deadline(call(), Some(Duration::from_secs(1)));
        assert_eq!(late.rpc_text(), "rpc error: code = DeadlineExceeded desc = context deadline exceeded");
        assert_eq!(CriError::malformed(call(), "it has no status").rpc_text(), "it has no status");
    }
}
