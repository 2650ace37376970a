//! The `daemonlet` command: the agent itself, and the verbs with which to look at it.
//!
//! One file a verb. A verb that looks at the node asks the agent's API as any client does, and holds no rule of its own; it
//! writes to what it is given, so that it can be tested without a terminal. Output and messages are kubectl's wherever kubectl
//! has the verb.

mod agent;
pub mod check_config;
mod client;
mod describe;
mod error;
pub mod explain;
mod get;
mod target;
#[cfg(test)]
mod tests;
mod text;
pub mod validate;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::client::Client;
use self::error::CliError;
use crate::api::DEFAULT_SOCKET;

/// Runs Kubernetes DaemonSets on this node with containerd and nothing else.
#[derive(Debug, Parser)]
#[command(name = "daemonlet", version, propagate_version = true)]
struct Cli {
    /// The agent's socket
    #[arg(long, global = true, env = "DAEMONLET_SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH")]
    socket: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show DaemonSets, pods, this node or events
    Get(get::GetArgs),
    /// Run the agent in the foreground
    Agent(agent::AgentArgs),
    /// Show all about DaemonSets, pods or this node, with their events
    Describe(describe::DescribeArgs),
}

/// Where a verb writes.
struct Output<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. Nobody is left to tell if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    if let Verb::Agent(args) = cli.verb {
        return agent::run(args).into();
    }
    let mut out = std::io::stdout().lock();
    let mut err = std::io::stderr().lock();
    let result = block_on(run(cli, &mut Output { out: &mut out, err: &mut err }));
    let result = result.and_then(|()| out.flush().map_err(CliError::from));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(err, "{error}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(verb: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(CliError::from)?.block_on(verb)
}

async fn run(cli: Cli, output: &mut Output<'_>) -> Result<(), CliError> {
    let client = Client::new(cli.socket);
    match cli.verb {
        // Taken care of before there is a runtime: the agent makes its own.
        Verb::Agent(_) => Ok(()),
        Verb::Get(args) => get::run(&args, &client, output).await,
        Verb::Describe(args) => describe::run(&args, &client, output).await,
    }
}
