//! The agent's own configuration: written (`config.yaml`, `config.d/*.yaml`, environment, flags) → merged → checked [`Settings`].
//!
//! Every key is described once, in [`keys`]: its shape, its default, and what it means. Unknown keys are refused, and all problems
//! of all sources are reported in one run. Keys are named as `KubeletConfiguration` names them where it has such a key. Only
//! [`sources`] reads files; nothing here acts on a setting.

mod build;
mod document;
mod environment;
mod eviction;
mod keys;
mod layer;
mod policy;
mod problem;
mod reader;
mod sample;
mod settings;
mod sources;
mod value;

#[cfg(test)]
mod tests;

pub use problem::{Origin, Problem, Refused};
pub use sample::sample;
pub use settings::{
    ApiServer, AppliedBundles, LogBounds, LogFormat, LogLevel, Logging, OnKubelet, Poll, Settings, Store,
};
pub use sources::{Loaded, Sources, load, of_text};
pub(crate) use value::duration;
