//! One run of a probe: its handler asked, and asked again where asking itself failed.
//!
//! I/O through the files beside this one; what an answer means for the container is not decided here. Rule: the kubelet's
//! `prober/prober.go`.

use std::net::IpAddr;

use super::spec::HandlerError;
use super::{ExecSync, Handler, ProbeSpec, exec, grpc, http, tcp};
use crate::cri::{ContainerId, CriError};

const MAX_TRIES: u32 = 3;

/// What a probed server or command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// All is well.
    Success,
    /// Well enough to count as success, odd enough to be told.
    Warning(String),
    /// Not well, and why.
    Failure(String),
}

/// Why a probe could not be made at all: says nothing about the container.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The handler is of no use.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// The handler's host is the pod's address, and the pod has none.
    #[error("the pod has no IP address to probe")]
    NoPodIp,
    /// The runtime could not run the command.
    #[error("{}", .0.rpc_text())]
    Exec(#[source] CriError),
    /// An answer began and broke off.
    #[error("{0}")]
    Body(String),
}

/// Whom to ask.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) container: ContainerId,
    pub(super) pod_ip: Option<IpAddr>,
}

/// Runs the probe once; up to three times when it can't be made.
pub(super) async fn attempt<E: ExecSync>(
    spec: &ProbeSpec,
    target: &Target,
    runtime: &E,
) -> Result<Answer, ProbeError> {
    let mut tries = 1;
    loop {
        match try_once(spec, target, runtime).await {
            Err(_) if tries < MAX_TRIES => tries += 1,
            done => return done,
        }
    }
}

async fn try_once<E: ExecSync>(spec: &ProbeSpec, target: &Target, runtime: &E) -> Result<Answer, ProbeError> {
    let host = |written: &Option<String>| match (written, target.pod_ip) {
        (Some(host), _) => Ok(host.clone()),
        (None, Some(ip)) => Ok(ip.to_string()),
        (None, None) => Err(ProbeError::NoPodIp),
    };
    match spec.handler.as_ref().map_err(Clone::clone)? {
        Handler::Exec { command } => exec::probe(runtime, &target.container, command, spec.timeout).await,
        Handler::HttpGet(action) => http::probe(action, &host(&action.host)?, spec.timeout).await,
        Handler::TcpSocket { host: written, port } => {
            Ok(tcp::probe(&host(written)?, *port, spec.timeout).await)
        }
        Handler::Grpc { port, service } => Ok(grpc::probe(&host(&None)?, *port, service, spec.timeout).await),
    }
}
