//! The `daemonlet` command.

fn main() {}
