//! Pods of this node: what they are, what they need next, and their way through life.

pub mod blueprint;
