//! The whole of daemonlet on a real containerd: what an operator would see, one theme a file.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../kit/mod.rs"]
mod kit;

mod adoption;
mod api;
mod bad_input;
mod becomes_ready;
mod before_network;
mod bootstrap;
mod bundle;
mod faults;
mod handover;
mod housekeeping;
mod images;
mod inside;
mod leaving;
mod network;
mod operator;
mod orphans;
mod placement;
mod policy;
mod power_cut;
mod pressure;
mod pull;
mod rollout;
mod runtime;
mod sandbox_image;
mod soak;
mod strategies;
mod trust;
mod updates;
