//! `reset`: the node leaves the fleet, and what the agent has kept on its disk goes. Works with no agent, and only without one.

use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Output;
use super::agent::AgentArgs;
use super::error::CliError;
use crate::agent::{self, ResetError};
use crate::config::{self, Settings, duration};
use crate::error_chain::error_chain;
use crate::exit_code::ExitCode;

/// For how long pods may take to end unless the command line says otherwise.
const TIMEOUT: &str = "5m";

#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    #[command(flatten)]
    agent: AgentArgs,
    /// Remove it; without this, only say what would be removed
    #[arg(long)]
    yes: bool,
    /// End the pods first that are still here, with their hooks and their grace
    #[arg(long)]
    end_pods: bool,
    /// How long that may take
    #[arg(long, default_value = TIMEOUT, value_parser = duration, value_name = "DURATION")]
    timeout: Duration,
}

pub(super) async fn run(args: &ResetArgs, output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let settings = match config::load(&args.agent.sources()) {
        Ok(loaded) => loaded.settings,
        Err(refused) => {
            writeln!(output.err, "{refused}")?;
            return Ok(ExitCode::Config);
        }
    };
    let mut found = agent::removable(&settings.root_dir, &settings.image_archives_dir());
    if args.end_pods
        && let Err(ResetError::Pods { dir, pods }) = &found
    {
        if !args.yes {
            writeln!(output.out, "{pods} pods in {} would be ended (pass --yes)", dir.display())?;
            return Ok(ExitCode::Failed);
        }
        writeln!(output.out, "ending {pods} pods")?;
        output.out.flush()?;
        end_pods(&settings, args.timeout).await?;
        found = agent::removable(&settings.root_dir, &settings.image_archives_dir());
    }
    if args.yes && found.is_ok() {
        found = agent::reset(&settings.root_dir, &settings.image_archives_dir());
    }
    let found = found.map_err(|error| CliError::Failed(error_chain(&error)))?;
    for path in &found {
        let word = if args.yes { "removed" } else { "would be removed (pass --yes)" };
        writeln!(output.out, "{} {word}", path.display())?;
    }
    let store = settings.store.path.display();
    writeln!(output.out, "The manifests in {store} stay: an agent that is started again runs them anew.")?;
    Ok(if args.yes || found.is_empty() { ExitCode::Ok } else { ExitCode::Failed })
}

/// Runs an agent that ends every pod. What it could not end in time, it takes up again whenever it is run again.
async fn end_pods(settings: &Settings, longest: Duration) -> Result<(), CliError> {
    let endpoint = settings.container_runtime_endpoint.display().to_string();
    let shutdown = CancellationToken::new();
    let ending = agent::end_pods(settings, &shutdown);
    tokio::pin!(ending);
    if let Ok(ended) = timeout(longest, &mut ending).await {
        return ended.map(|_| ()).map_err(|error| CliError::Failed(error_chain(&error)));
    }
    shutdown.cancel();
    let _ = ending.await;
    Err(CliError::Failed(format!(
        "pods have not ended within {longest:?}; see that the runtime at {endpoint} answers, and try again"
    )))
}
