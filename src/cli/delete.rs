//! `delete pod NAME…`: the pod ends, and its DaemonSet makes another.

use clap::Args;
use hyper::Method;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::Output;
use super::client::{Client, JSON};
use super::error::CliError;
use super::target::{Scope, targets};
use crate::api::resource::PODS;

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Which pods: pod NAME… or pod/NAME…
    #[arg(value_name = "pod/NAME", required = true)]
    words: Vec<String>,
    /// Seconds given to the pod to end, if less than its own
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<u64>,
    /// Ask, and don't wait until the pods are gone
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    scope: Scope,
}

pub(super) async fn run(args: &DeleteArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
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
            match delete(args, name, client, output).await {
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
    name: &str,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let path = args.scope.path_of(&PODS, name);
    let options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": args.grace_period});
    let pod: Pod = client.send(Method::DELETE, &path, (JSON, options.to_string().into_bytes())).await?;
    writeln!(output.out, "pod {name:?} deleted")?;
    output.out.flush()?;
    if args.no_wait {
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
