//! `rollout history`.

use clap::Args;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use serde_json::Value;

use super::Which;
use crate::cli::Output;
use crate::cli::client::{Client, escape};
use crate::cli::describe::template_with_tabs;
use crate::cli::error::CliError;
use crate::rollout::history::template_of;

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    which: Which,
    /// Show the template of this revision; all revisions if 0
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    revision: i64,
}

/// What kubectl shows for a revision without a cause.
const NO_CAUSE: &str = "<none>";

pub(super) async fn run(
    args: &HistoryArgs,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    if args.revision < 0 {
        let problem = format!("revision must be a positive integer: {}", args.revision);
        return Err(CliError::Usage(problem));
    }
    for name in args.which.names()? {
        let daemon_set = args.which.get(&name, client).await?;
        let revisions = revisions(&daemon_set, client).await?;
        match args.revision {
            0 => list(&name, &revisions, output)?,
            number => show(&name, number, &revisions, output)?,
        }
    }
    Ok(())
}

/// The revisions of a DaemonSet, the newest last.
pub(super) async fn revisions(
    daemon_set: &DaemonSet,
    client: &Client,
) -> Result<Vec<ControllerRevision>, CliError> {
    let namespace = daemon_set.metadata.namespace.as_deref().unwrap_or_default();
    let path = format!("/apis/apps/v1/namespaces/{}/controllerrevisions", escape(namespace));
    let list: Value = client.get(&path).await?;
    let mut revisions: Vec<ControllerRevision> = serde_json::from_value(list["items"].clone())?;
    let owned = |revision: &ControllerRevision| {
        let owners = revision.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|owner| Some(&owner.uid) == daemon_set.metadata.uid.as_ref())
    };
    revisions.retain(owned);
    revisions.sort_by_key(|revision| revision.revision);
    Ok(revisions)
}

fn list(name: &str, revisions: &[ControllerRevision], output: &mut Output<'_>) -> Result<(), CliError> {
    writeln!(output.out, "daemonset.apps/{name} ")?;
    if revisions.is_empty() {
        writeln!(output.out, "No rollout history found.")?;
        return Ok(());
    }
    writeln!(output.out, "{:<9} CHANGE-CAUSE", "REVISION")?;
    for revision in revisions {
        let annotations = revision.metadata.annotations.as_ref();
        let cause = annotations.and_then(|all| all.get("kubernetes.io/change-cause"));
        let cause = cause.map(String::as_str).filter(|cause| !cause.is_empty());
        writeln!(output.out, "{:<9} {}", revision.revision, cause.unwrap_or(NO_CAUSE))?;
    }
    writeln!(output.out)?;
    Ok(())
}

fn show(
    name: &str,
    number: i64,
    revisions: &[ControllerRevision],
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    if revisions.is_empty() {
        writeln!(output.out, "daemonset.apps/{name} with revision #{number}\nNo rollout history found.")?;
        return Ok(());
    }
    let found = revisions.iter().find(|revision| revision.revision == number).and_then(template_of);
    let Some(template) = found else {
        return Err(CliError::Usage("unable to find the specified revision".to_owned()));
    };
    writeln!(output.out, "daemonset.apps/{name} with revision #{number}")?;
    writeln!(output.out, "{}", template_with_tabs(&template))?;
    Ok(())
}
