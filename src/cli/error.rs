//! Why a verb failed, in kubectl's words where kubectl has them.

use std::io;
use std::path::PathBuf;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;

/// What ends a verb.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// Nobody answers on the socket.
    #[error(
        "The agent does not answer on {}: {cause}.\n\
         Is it running? `systemctl status daemonlet` tells; --socket (or DAEMONLET_SOCKET) names another socket.",
        socket.display()
    )]
    NotRunning { socket: PathBuf, cause: String },
    /// Only root may ask.
    #[error("May not ask the agent on {}: permission denied.\nIts socket is for root alone: try again with sudo.", .0.display())]
    Denied(PathBuf),
    /// The connection broke.
    #[error("error: the connection to the agent broke: {0}")]
    Broken(#[from] hyper::Error),
    /// The agent refused, and says why.
    #[error("Error from server{}: {}", reason(.0), .0.message.as_deref().unwrap_or("no message"))]
    Refused(Box<Status>),
    /// The agent's answer is not what was asked for.
    #[error("error: the agent's answer can't be understood: {0}")]
    Answer(String),
    /// What was asked makes no sense, or this program can't do it.
    #[error("error: {0}")]
    Usage(String),
    /// This program failed at something of its own.
    #[error("error: {0}")]
    Failed(String),
    /// Several things failed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<CliError>),
    /// The output can't be written.
    #[error("error: the output can't be written: {0}")]
    Output(#[from] io::Error),
}

fn reason(status: &Status) -> String {
    match status.reason.as_deref() {
        None | Some("") => String::new(),
        Some(reason) => format!(" ({reason})"),
    }
}

impl CliError {
    /// Whether whoever read the output has had enough, which is no failure.
    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// No error, one, or several as one.
    pub(super) fn all(mut errors: Vec<CliError>) -> Result<(), CliError> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(CliError::Several(errors)),
        }
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() { CliError::Output(error.into()) } else { CliError::Answer(error.to_string()) }
    }
}
