//! `reset`: the node leaves the fleet, and what the agent has kept on its disk goes. Works with no agent, and only without one.

use clap::Args;

use super::Output;
use super::agent::AgentArgs;
use super::error::CliError;
use crate::agent;
use crate::config;
use crate::error_chain::error_chain;
use crate::exit_code::ExitCode;

#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    #[command(flatten)]
    agent: AgentArgs,
    /// Remove it; without this, only say what would be removed
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &ResetArgs, output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let settings = match config::load(&args.agent.sources()) {
        Ok(loaded) => loaded.settings,
        Err(refused) => {
            writeln!(output.err, "{refused}")?;
            return Ok(ExitCode::Config);
        }
    };
    let found =
        if args.yes { agent::reset(&settings.root_dir) } else { agent::removable(&settings.root_dir) };
    let found = found.map_err(|error| CliError::Failed(error_chain(&error)))?;
    for path in &found {
        let word = if args.yes { "removed" } else { "would be removed (pass --yes)" };
        writeln!(output.out, "{} {word}", path.display())?;
    }
    let store = settings.store.path.display();
    writeln!(output.out, "The manifests in {store} stay: an agent that is started again runs them anew.")?;
    Ok(if args.yes || found.is_empty() { ExitCode::Ok } else { ExitCode::Failed })
}
