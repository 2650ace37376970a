//! Writes the man pages and the shell completions of the `daemonlet` command into a directory.
//!
//! `cargo run --example documents DIRECTORY`. Made from the command line itself while the package is built, so that no page says what the
//! program doesn't do, and so that the agent's binary carries no page.

#[allow(unreachable_pub, reason = "a test has it, too")]
mod pages;

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: documents DIRECTORY");
        return ExitCode::from(2);
    };
    match pages::write(directory.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: write the documents into {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}
