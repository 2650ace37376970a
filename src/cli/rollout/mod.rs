//! `rollout`: how an update of a DaemonSet goes on this node, and the way back. Words and exit codes are kubectl's
//! (`pkg/cmd/rollout`, `pkg/polymorphichelpers`).

mod history;
mod status;
mod undo;

use clap::{Args, Subcommand};
use k8s_openapi::api::apps::v1::DaemonSet;

use super::Output;
use super::client::Client;
use super::error::CliError;
use super::target::{Scope, targets};
use crate::api::resource::DAEMON_SETS;
use crate::exit_code::ExitCode;

#[derive(Debug, Args)]
pub(super) struct RolloutArgs {
    #[command(subcommand)]
    verb: RolloutVerb,
}

#[derive(Debug, Subcommand)]
enum RolloutVerb {
    /// Show how the newest rollout goes, and wait for its end
    Status(status::StatusArgs),
    /// Show earlier revisions
    History(history::HistoryArgs),
    /// Go back to an earlier revision, until the store brings another template
    Undo(undo::UndoArgs),
    /// Replace the pods by new ones of the same template
    Restart(Which),
    /// Not for DaemonSets
    Pause(Which),
    /// Not for DaemonSets
    Resume(Which),
}

/// Which DaemonSets are meant.
#[derive(Debug, Args)]
struct Which {
    /// Which DaemonSets: ds/NAME or ds NAME…
    #[arg(value_name = "ds/NAME", required = true)]
    words: Vec<String>,
    #[command(flatten)]
    scope: Scope,
}

impl Which {
    fn names(&self) -> Result<Vec<String>, CliError> {
        let mut names = Vec::new();
        for target in targets(&self.words)? {
            if target.resource != &DAEMON_SETS {
                let kind = target.resource.plural;
                return Err(CliError::Usage(format!("only DaemonSets are rolled out, not {kind}")));
            }
            if target.names.is_empty() {
                return Err(CliError::Usage("required resource not specified".to_owned()));
            }
            names.extend(target.names);
        }
        Ok(names)
    }

    async fn get(&self, name: &str, client: &Client) -> Result<DaemonSet, CliError> {
        client.get(&self.scope.path_of(&DAEMON_SETS, name)).await
    }
}

pub(super) async fn run(
    args: &RolloutArgs,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<ExitCode, CliError> {
    match &args.verb {
        RolloutVerb::Status(args) => status::run(args, client, output).await?,
        RolloutVerb::History(args) => history::run(args, client, output).await?,
        RolloutVerb::Undo(args) => undo::run(args, client, output).await?,
        RolloutVerb::Restart(which) => undo::restart(which, client, output).await?,
        RolloutVerb::Pause(which) => return not_supported(which, "pausing"),
        RolloutVerb::Resume(which) => return not_supported(which, "resuming"),
    }
    Ok(ExitCode::Ok)
}

fn not_supported(which: &Which, what: &str) -> Result<ExitCode, CliError> {
    let refusals = which.names()?.into_iter();
    let refusals =
        refusals.map(|name| CliError::Usage(format!("daemonsets.apps {name:?} {what} is not supported")));
    CliError::all(refusals.collect()).map(|()| ExitCode::Failed)
}
