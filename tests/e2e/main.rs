//! The whole of daemonlet on a real containerd: what an operator would see, one theme a file.

#[path = "../kit/mod.rs"]
mod kit;

mod adoption;
mod becomes_ready;
mod runtime;
mod updates;
