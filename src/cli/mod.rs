//! The `daemonlet` command: the agent itself, and the verbs with which to look at it.
//!
//! One file a verb. A verb that looks at the node asks the agent's API as any client does, and holds no rule of its own; it
//! writes to what it is given, so that it can be tested without a terminal. Output and messages are kubectl's wherever kubectl
//! has the verb.

mod agent;
mod bundle;
pub mod check_config;
mod client;
mod completion;
mod delete;
mod describe;
mod error;
pub mod explain;
mod file_lines;
mod get;
mod handover;
mod hold;
mod image;
mod length_of_time;
mod logs;
mod metrics;
mod node;
mod plan;
mod policy;
mod progress;
mod reset;
mod rollout;
mod status;
mod store;
mod target;
#[cfg(test)]
mod tests;
mod text;
pub mod validate;
mod version;

use std::io::Write;
use std::path::PathBuf;
use std::process;

use clap::{Args, CommandFactory, Parser, Subcommand};

use self::client::Client;
use self::error::CliError;
use crate::api::DEFAULT_SOCKET;
use crate::error_chain::error_chain;
use crate::exit_code::ExitCode;

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
    /// Show all about DaemonSets, pods or this node, with their events
    Describe(describe::DescribeArgs),
    /// Say why a DaemonSet runs here or does not
    Explain(explain::ExplainArgs),
    /// Show what a pod's containers write
    Logs(logs::LogsArgs),
    /// Delete pods; their DaemonSets make others
    Delete(delete::DeleteArgs),
    /// Manage the rollout of a DaemonSet on this node
    Rollout(rollout::RolloutArgs),
    /// Mark this node as unschedulable
    Cordon(node::cordon::CordonArgs),
    /// Mark this node as schedulable, and let pods run again that a drain has ended
    Uncordon(node::cordon::CordonArgs),
    /// Drain this node in preparation for maintenance
    Drain(node::drain::DrainArgs),
    /// Update the labels on this node
    Label(node::label::LabelArgs),
    /// Update the taints on this node
    Taint(node::taint::TaintArgs),
    /// Keep updates waiting for a while, or show what waits
    Hold(hold::HoldArgs),
    /// Have updates go on
    Release(hold::ReleaseArgs),
    /// Confirm what the store no longer says, or check whether it would be trusted
    Store(store::StoreArgs),
    /// Import images from archives, list them or remove them
    Image(image::ImageArgs),
    /// Pack a site into one file, look into it, apply it
    Bundle(bundle::BundleArgs),
    /// Show how the agent, its store and its runtime are doing
    Status(status::StatusArgs),
    /// Print the agent's metrics, as Prometheus reads them
    Metrics,
    /// Check manifests without an agent
    Validate(ValidateArgs),
    /// Show the CRI requests that the agent would send, without one
    Plan(plan::PlanArgs),
    /// Check the agent's configuration
    CheckConfig(CheckConfigArgs),
    /// Remove what the agent has kept on a node that leaves, once its pods are gone
    Reset(reset::ResetArgs),
    /// Make this node's pods the static pods of a kubelet
    Handover(handover::HandoverArgs),
    /// Look after this node again, once a kubelet is gone for good
    Takeover(handover::TakeoverArgs),
    /// Run the agent in the foreground
    Agent(agent::AgentArgs),
    /// Show the versions of this program and of the agent
    Version(version::VersionArgs),
    /// Print the completions for a shell
    Completion(completion::CompletionArgs),
}

#[derive(Debug, Args)]
struct ValidateArgs {
    /// Files and directories (- is standard input)
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
    /// Files and directories, without -f
    #[arg(value_name = "FILE|DIR|-")]
    more: Vec<PathBuf>,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
struct CheckConfigArgs {
    #[command(flatten)]
    agent: agent::AgentArgs,
    /// Print every key with its default and its meaning
    #[arg(long)]
    print_default: bool,
}

/// Where a verb writes.
struct Output<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

/// The command line, for who documents it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line of this process.
pub fn main() -> process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. Nobody is left to tell if the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok }.into();
        }
    };
    if let Verb::Agent(args) = &cli.verb {
        return agent::run(args).into();
    }
    let mut out = std::io::stdout().lock();
    let mut err = std::io::stderr().lock();
    let result = block_on(run(cli, &mut Output { out: &mut out, err: &mut err }));
    let result = result.and_then(|code| out.flush().map(|()| code).map_err(CliError::from));
    let code = match result {
        Ok(code) => code,
        Err(error) if error.is_broken_pipe() => ExitCode::Ok,
        Err(error) => {
            let _ = writeln!(err, "{error}");
            ExitCode::Failed
        }
    };
    code.into()
}

fn block_on(verb: impl Future<Output = Result<ExitCode, CliError>>) -> Result<ExitCode, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(CliError::from)?.block_on(verb)
}

async fn run(cli: Cli, output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let client = Client::new(cli.socket);
    match cli.verb {
        Verb::Get(args) => get::run(&args, &client, output).await?,
        Verb::Describe(args) => describe::run(&args, &client, output).await?,
        Verb::Explain(args) => return explain::run(&args, &client, output).await,
        Verb::Logs(args) => logs::run(&args, &client, output).await?,
        Verb::Delete(args) => delete::run(&args, &client, output).await?,
        Verb::Rollout(args) => return rollout::run(&args, &client, output).await,
        Verb::Cordon(args) => node::cordon::run(&args, true, &client, output).await?,
        Verb::Uncordon(args) => node::cordon::run(&args, false, &client, output).await?,
        Verb::Drain(args) => node::drain::run(&args, &client, output).await?,
        Verb::Label(args) => node::label::run(&args, &client, output).await?,
        Verb::Taint(args) => node::taint::run(&args, &client, output).await?,
        Verb::Hold(args) => hold::hold(&args, &client, output).await?,
        Verb::Release(args) => hold::release(&args, &client, output).await?,
        Verb::Store(args) => return store::run(&args, &client, output).await,
        Verb::Image(args) => return image::run(&args, output).await,
        Verb::Bundle(args) => return bundle::run(&args, output).await,
        Verb::Status(args) => status::run(&args, &client, output).await?,
        Verb::Metrics => metrics::run(&client, output).await?,
        Verb::Validate(args) => return validate(&args, output),
        Verb::Plan(args) => return plan::run(&args, &mut std::io::stdin().lock(), output),
        Verb::Reset(args) => return reset::run(&args, output).await,
        Verb::Handover(args) => return handover::hand_over(&args, output).await,
        Verb::Takeover(args) => return handover::take_over(&args, output).await,
        Verb::CheckConfig(args) => return check(&args, output),
        // Taken care of before there is a runtime: the agent makes its own.
        Verb::Agent(_) => {}
        Verb::Version(args) => version::run(&args, &client, output).await?,
        Verb::Completion(args) => completion::run(&args, output)?,
    }
    Ok(ExitCode::Ok)
}

fn validate(args: &ValidateArgs, output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let targets: Vec<PathBuf> = args.files.iter().chain(&args.more).cloned().collect();
    match validate::run(&targets, args.strict, &mut std::io::stdin().lock(), output.out) {
        Ok(validate::Validity::Good) => Ok(ExitCode::Ok),
        Ok(validate::Validity::Problems) => Ok(ExitCode::Failed),
        Err(validate::ValidateError::Write(error)) => Err(error.into()),
        Err(error) => {
            writeln!(output.err, "error: {}", error_chain(&error))?;
            Ok(ExitCode::Usage)
        }
    }
}

fn check(args: &CheckConfigArgs, output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let answer = if args.print_default {
        check_config::print_default()
    } else {
        check_config::check_config(&args.agent.sources())
    };
    output.out.write_all(answer.text.as_bytes())?;
    output.err.write_all(answer.problems.as_bytes())?;
    Ok(answer.code)
}
