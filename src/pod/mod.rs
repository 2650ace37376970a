//! One pod on this node: who it is, what must happen to it next, and the worker that makes it happen.
//!
//! The deciding half is pure: [`identity`], [`plan`] (desired × observed × clock → actions), [`grace`] and [`status`]. The acting
//! half, one [`worker`] task a pod, observes the runtime, asks the plan, and performs it; it holds no rule of its own.

pub mod grace;
pub mod identity;
pub mod observed;
pub mod plan;
pub mod record;
pub mod status;
