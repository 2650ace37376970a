//! `daemonlet completion`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::error::CliError;
use super::{Cli, Output};

#[derive(Debug, Args)]
pub(super) struct CompletionArgs {
    /// The shell; put the output where it looks for completions, or source it
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    // Written at once: the generator panics when its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "daemonlet", &mut script);
    Ok(output.out.write_all(&script)?)
}
