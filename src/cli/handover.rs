//! `handover` and `takeover`: the node's pods become a kubelet's, and come back. Both work with no agent that looks after pods, and only then.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::Output;
use super::agent::AgentArgs;
use super::error::CliError;
use crate::agent::{self, HandOverStep};
use crate::config::{self, Settings};
use crate::error_chain::error_chain;
use crate::exit_code::ExitCode;

#[derive(Debug, Args)]
pub(super) struct HandoverArgs {
    #[command(flatten)]
    agent: AgentArgs,
    /// Only print the static pods, in the order in which they would be handed over, and what can't be
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct TakeoverArgs {
    #[command(flatten)]
    agent: AgentArgs,
}

/// `handover`
pub(super) async fn hand_over(args: &HandoverArgs, output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let Some(settings) = load(&args.agent, output)? else { return Ok(ExitCode::Config) };
    if args.dry_run {
        let steps =
            agent::plan_hand_over(&settings).await.map_err(|error| CliError::Failed(error_chain(&error)))?;
        return show(&steps, output);
    }
    let done = agent::hand_over(&settings, &CancellationToken::new()).await;
    let Some(note) = done.map_err(|error| CliError::Failed(error_chain(&error)))? else {
        return Ok(ExitCode::Ok);
    };
    for written in &note.written {
        writeln!(output.out, "daemonset/{} handed over as {}", written.daemon_set, written.path.display())?;
    }
    for (daemon_set, reasons) in &note.refused {
        refused(&daemon_set.to_string(), reasons, output)?;
    }
    Ok(if note.refused.is_empty() { ExitCode::Ok } else { ExitCode::Failed })
}

fn show(steps: &[HandOverStep], output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let mut code = ExitCode::Ok;
    for step in steps {
        match &step.pod {
            Ok(made) => {
                writeln!(output.out, "---\n# {}", step.file)?;
                for note in &made.notes {
                    writeln!(output.out, "# note: {note}")?;
                }
                output.out.write_all(agent::static_pod_text(&made.pod, &step.daemon_set).as_bytes())?;
            }
            Err(reasons) => {
                refused(&step.daemon_set.to_string(), reasons, output)?;
                code = ExitCode::Failed;
            }
        }
    }
    Ok(code)
}

fn refused(daemon_set: &str, reasons: &[String], output: &mut Output<'_>) -> Result<(), CliError> {
    writeln!(output.err, "daemonset/{daemon_set} cannot be handed over:")?;
    for reason in reasons {
        writeln!(output.err, "  {reason}")?;
    }
    Ok(())
}

/// `takeover`
pub(super) async fn take_over(args: &TakeoverArgs, output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let Some(settings) = load(&args.agent, output)? else { return Ok(ExitCode::Config) };
    let taken = agent::take_over(&settings).await.map_err(|error| CliError::Failed(error_chain(&error)))?;
    let Some(taken) = taken else {
        writeln!(output.out, "No kubelet has this node: there is nothing to take over.")?;
        return Ok(ExitCode::Ok);
    };
    for file in &taken.files {
        writeln!(output.out, "{} removed", file.display())?;
    }
    for pod in &taken.pods {
        writeln!(output.out, "pod {pod} of the kubelet ended")?;
    }
    writeln!(output.out, "daemonlet looks after this node again.")?;
    Ok(ExitCode::Ok)
}

fn load(args: &AgentArgs, output: &mut Output<'_>) -> Result<Option<Settings>, CliError> {
    match config::load(&args.sources()) {
        Ok(loaded) => Ok(Some(loaded.settings)),
        Err(refused) => {
            writeln!(output.err, "{refused}")?;
            Ok(None)
        }
    }
}
