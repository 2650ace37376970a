//! The verbs against an agent that serves a board filled by hand.

mod asking;
mod changing;
mod getting;

use std::io::Write;

use clap::Parser;

use super::{Cli, CliError, ExitCode, Output, run};
use crate::api::tests::fixture::Agent;

/// What a command line prints to its output and its errors; a failure's message counts as the latter.
async fn daemonlet(agent: &Agent, line: &str) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let result = run(parse(agent, line), &mut Output { out: &mut out, err: &mut err }).await;
    let mut err = String::from_utf8(err).unwrap();
    if let Err(error) = result {
        err.push_str(&error.to_string());
    }
    (String::from_utf8(out).unwrap(), err)
}

/// Runs a command line that prints into `out`.
async fn daemonlet_into(agent: &Agent, line: &str, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    run(parse(agent, line), &mut Output { out, err: &mut Vec::new() }).await
}

fn parse(agent: &Agent, line: &str) -> Cli {
    let words = ["daemonlet", "--socket", agent.socket.to_str().unwrap()].into_iter().chain(line.split(' '));
    Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Keeps what is written, and lets the test act on each piece.
struct Hooked<F> {
    written: Vec<u8>,
    hook: F,
}

impl<F: FnMut(&str)> Hooked<F> {
    fn new(hook: F) -> Self {
        Self { written: Vec::new(), hook }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.written).unwrap()
    }
}

impl<F: FnMut(&str)> Write for Hooked<F> {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.written.extend_from_slice(piece);
        (self.hook)(std::str::from_utf8(piece).unwrap());
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a command line that must succeed prints.
async fn printed(agent: &Agent, line: &str) -> String {
    let (out, err) = daemonlet(agent, line).await;
    assert_eq!(err, "", "{line}");
    out
}

/// The message of a command line that must print nothing but that.
async fn refused(agent: &Agent, line: &str) -> String {
    let (out, err) = daemonlet(agent, line).await;
    assert_eq!(out, "", "{line}");
    err
}

#[test]
fn the_command_line_is_well_formed() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}
