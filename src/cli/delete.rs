//! `delete pod NAME…`: the pod ends, and its DaemonSet makes another.

use clap::{ArgAction, Args};
use hyper::Method;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::Output;
use super::client::{Client, JSON};
use super::error::CliError;
use super::target::{Scope, targets};
use crate::api::resource::PODS;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct DeleteArgs {
    /// Which pods: pod NAME… or pod/NAME…
    #[arg(value_name = "pod/NAME", required = true)]
    words: Vec<String>,
    /// Seconds given to the pod to end, if less than its own; its own if negative, and 0 only with --force
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// As --grace-period=1
    #[arg(long)]
    now: bool,
    /// Kill the pod at once, without its hooks. It still counts until it is gone
    #[arg(long)]
    force: bool,
    /// Wait until the pods are gone
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    wait: bool,
    /// A pod that isn't there is as good as one that is deleted
    #[arg(long)]
    ignore_not_found: bool,
    #[command(flatten)]
    scope: Scope,
}

impl DeleteArgs {
    /// The grace period to ask for, if not the pod's own. 0 is 1 unless it is meant: no hook would run.
    fn grace(&self) -> Result<Option<u64>, CliError> {
        let refused = |why: &str| Err(CliError::Usage(format!("{why} cannot be specified together")));
        if self.now && self.grace_period != -1 {
            return refused("--now and --grace-period");
        }
        let asked_for = if self.now { 1 } else { self.grace_period };
        match (u64::try_from(asked_for), self.force) {
            (Err(_), false) => Ok(None),
            (Err(_) | Ok(0), true) => Ok(Some(0)),
            (Ok(_), true) => refused("--force and --grace-period greater than 0"),
            (Ok(seconds), false) => Ok(Some(seconds.max(1))),
        }
    }
}

pub(super) async fn run(args: &DeleteArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let grace = args.grace()?;
    let mut errors = Vec::new();
    for target in targets(&args.words)? {
        if target.resource != &PODS {
            let kind = target.resource.plural;
            return Err(CliError::Usage(format!(
                "only pods can be deleted, not {kind}: what else there is, the store says; remove its manifest there"
            )));
        }
        if target.names.is_empty() {
            return Err(CliError::Usage("resource(s) were provided, but no name was specified".to_owned()));
        }
        for name in &target.names {
            match delete(args, grace, name, client, output).await {
                Err(CliError::Refused(status)) if args.ignore_not_found && status.code == Some(404) => {}
                Err(CliError::Output(error)) => return Err(error.into()),
                Err(error) => errors.push(error),
                Ok(()) => {}
            }
        }
    }
    CliError::all(errors)
}

async fn delete(
    args: &DeleteArgs,
    grace: Option<u64>,
    name: &str,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let path = args.scope.path_of(&PODS, name);
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": grace});
    let pod: Pod = client.send(Method::DELETE, &path, (JSON, options.to_string().into_bytes())).await?;
    let done = if grace == Some(0) { "force deleted" } else { "deleted" };
    writeln!(output.out, "pod {name:?} {done}")?;
    output.out.flush()?;
    if !args.wait {
        return Ok(());
    }
    wait_until_gone(client, &args.scope, &pod).await
}

/// Watches until no pod of this UID is there.
async fn wait_until_gone(client: &Client, scope: &Scope, pod: &Pod) -> Result<(), CliError> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let selector = format!("metadata.name={name}");
    let parameters = [("watch", "1"), ("fieldSelector", selector.as_str())];
    let path = super::client::with_query(&scope.path(&PODS), &parameters);
    let mut changes = client.stream(&path, JSON).await?;
    // The watch begins with what is there now; a pod that has gone by then is asked for once more.
    match client.get::<Pod>(&scope.path_of(&PODS, name)).await {
        Ok(now) if now.metadata.uid == pod.metadata.uid => {}
        Ok(_) => return Ok(()),
        Err(CliError::Refused(status)) if status.code == Some(404) => return Ok(()),
        Err(error) => return Err(error),
    }
    while let Some(line) = changes.next_line().await? {
        let change: serde_json::Value = serde_json::from_slice(&line)?;
        if change["type"] == "DELETED"
            && change["object"]["metadata"]["uid"].as_str() == pod.metadata.uid.as_deref()
        {
            return Ok(());
        }
    }
    Ok(())
}
