//! The Container Runtime Interface: the client, its errors and identifiers, and what a runtime's log files look like.
//!
//! Everything daemonlet asks of a runtime goes through here. This room holds no Kubernetes rule: what a pod's requests
//! contain is decided by the pure translation, when they are made by the pod's worker.

mod client;
mod endpoint;
mod error;
#[cfg(feature = "testing")]
pub mod fake;
mod id;
mod image;
pub mod json;
pub mod log;
pub mod log_path;
pub mod log_rotation;
mod method;
pub mod proto;
mod runtime;
pub mod translate;
mod verify;

pub use client::{ClientOptions, CriClient, connect};
pub use endpoint::{Endpoint, EndpointError};
pub(crate) use error::rpc_text;
pub use error::{Call, CriError, Outage};
pub use id::{ContainerId, ImageRef, SandboxId};
pub use method::{CallCount, Method};
pub use runtime::{Detail, ExecOutput};
