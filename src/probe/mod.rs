//! Probes: is a container started, alive, ready?
//!
//! [`ProbeSpec`] is a validated probe, [`ProbeSet`] the running probes of one pod, owned by the pod's worker. The rules of when
//! to probe and what a result means are in `threshold`, synchronous and without a clock; `exec`, `http`, `tcp` and `grpc` each
//! ask once and decide nothing. Adding a kind of probe: a variant of [`Handler`], a file beside `tcp`, an arm in `attempt`.
//! Rules: the kubelet's `prober/` and `pkg/probe/`.

mod attempt;
mod command;
mod exec;
mod grpc;
mod http;
mod set;
mod spec;
mod tcp;
mod threshold;
mod view;

pub use attempt::ProbeError;
pub use exec::ExecSync;
#[cfg(test)]
pub(crate) use exec::fake;
pub(crate) use exec::text as output_text;
pub use http::{Get, GetError, HttpError, Response, Scheme, TlsError, Url, get};
pub use set::{
    ContainerResults, ProbeEvent, ProbeEventReason, ProbeEvents, ProbeResults, ProbeSet, Readiness,
};
pub use spec::{Handler, HandlerError, HttpGet, ProbeKind, ProbeSpec, resolve_port};
pub use tcp::DialError;
pub use threshold::Outcome;
pub use view::{ContainerState, ContainerView, PodPhase};

/// The Kubernetes release that we tell probed servers we are: `kube-probe/<major>.<minor>`.
pub(crate) const KUBERNETES_RELEASE: &str = "1.34";
