//! The verbs of the `daemonlet` command, one file each.

pub mod check_config;
pub mod explain;
