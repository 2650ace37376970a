//! daemonlet runs Kubernetes DaemonSets on a node with containerd and nothing else.
//!
//! The rooms, in the order a manifest passes through them, are described in `ARCHITECTURE.md`. Two rules hold everywhere:
//! the pure rooms (`manifest`, `placement`, `scheduling`, `rollout::decide`, `pod::plan`, `cri::translate`) decide and never act, and the other
//! rooms act and never decide.

#![cfg_attr(
    test,
    allow(clippy::pedantic, reason = "a test is written for what it says, and small costs are none")
)]

pub mod agent;
pub mod api;
pub mod archive;
pub mod atomic_file;
pub mod backoff;
pub mod board;
pub mod boot_time;
pub mod bundle;
pub mod cgroup;
pub mod cli;
pub mod clock;
mod complaints;
pub mod config;
pub mod containerd;
pub mod cri;
pub mod error_chain;
pub mod eviction;
pub mod exit_code;
pub mod go_duration;
mod hex;
pub mod hook;
pub mod image;
pub mod kubelet;
pub mod manifest;
pub mod node;
pub mod placement;
pub mod pod;
pub mod policy;
pub mod preload;
pub mod probe;
pub mod rollout;
pub mod scheduling;
pub mod shutdown;
pub mod state_dir;
pub mod store;
pub mod systemd;
pub mod volume;
