//! The verbs of the `daemonlet` command, one file each.

pub mod explain;
pub mod validate;
