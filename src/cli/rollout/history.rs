//! `rollout history`.

use clap::Args;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use serde_json::Value;

use super::Which;
use crate::cli::Output;
use crate::cli::client::{Client, escape};
use crate::cli::error::CliError;
use crate::cli::text::to_yaml;
use crate::rollout::history::template_of;

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    which: Which,
    /// Show the template of this revision
    #[arg(long, value_name = "NUMBER")]
    revision: Option<i64>,
}

/// What kubectl shows for a revision without a cause.
const NO_CAUSE: &str = "<none>";

pub(super) async fn run(
    args: &HistoryArgs,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    for name in args.which.names()? {
        let daemon_set = args.which.get(&name, client).await?;
        let revisions = revisions(&daemon_set, client).await?;
        match args.revision {
            None => list(&name, &revisions, output)?,
            Some(number) => show(&name, number, &revisions, output)?,
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
        writeln!(output.out, "{:<9} {}", revision.revision, cause.map_or(NO_CAUSE, String::as_str))?;
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
    let found = revisions.iter().find(|revision| revision.revision == number).and_then(template_of);
    let Some(template) = found else {
        return Err(CliError::Usage("unable to find the specified revision".to_owned()));
    };
    writeln!(output.out, "daemonset.apps/{name} with revision #{number}")?;
    writeln!(output.out, "Pod Template:")?;
    let text = to_yaml(&serde_json::to_value(template)?)?;
    for line in text.lines() {
        writeln!(output.out, "  {line}")?;
    }
    writeln!(output.out)?;
    Ok(())
}
