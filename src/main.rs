//! The `daemonlet` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemonlet::cli::main()
}
