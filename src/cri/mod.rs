//! The Container Runtime Interface: the client, its errors and identifiers, and what a runtime's log files look like.
//!
//! Everything daemonlet asks of a runtime goes through here. This room holds no Kubernetes rule: what a pod's requests
//! contain is decided by the pure translation, when they are made by the pod's worker.

pub mod proto;
pub mod translate;
