//! `rollout status`.

use std::time::Duration;

use clap::Args;
use k8s_openapi::api::apps::v1::DaemonSet;
use tokio::time::timeout;

use super::Which;
use crate::api::resource::DAEMON_SETS;
use crate::cli::Output;
use crate::cli::client::{Client, JSON, with_query};
use crate::cli::error::CliError;
use crate::cli::length_of_time::length_of_time;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    which: Which,
    /// Wait for the end
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    watch: bool,
    /// How long to wait (0s: for ever)
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = length_of_time)]
    timeout: Duration,
}

/// How far a rollout has come.
#[derive(Debug, PartialEq, Eq)]
struct Progress {
    line: String,
    is_done: bool,
}

pub(super) async fn run(args: &StatusArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    for name in args.which.names()? {
        let waiting = follow(args, &name, client, output);
        if args.timeout.is_zero() {
            waiting.await?;
        } else {
            let ended = timeout(args.timeout, waiting).await;
            ended
                .unwrap_or_else(|_| Err(CliError::Usage("timed out waiting for the condition".to_owned())))?;
        }
    }
    Ok(())
}

async fn follow(
    args: &StatusArgs,
    name: &str,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let found = args.which.get(name, client).await?;
    if !args.watch {
        let Progress { line, .. } = progress(&found)?;
        writeln!(output.out, "{line}")?;
        return Ok(());
    }
    let selector = format!("metadata.name={name}");
    let parameters = [("watch", "1"), ("fieldSelector", selector.as_str())];
    let mut changes =
        client.stream(&with_query(&args.which.scope.path(&DAEMON_SETS), &parameters), JSON).await?;
    while let Some(line) = changes.next_line().await? {
        let change: serde_json::Value = serde_json::from_slice(&line)?;
        if change["type"] == "DELETED" {
            return Err(CliError::Usage("object has been deleted".to_owned()));
        }
        let Progress { line, is_done } = progress(&serde_json::from_value(change["object"].clone())?)?;
        writeln!(output.out, "{line}")?;
        output.out.flush()?;
        if is_done {
            return Ok(());
        }
    }
    Err(CliError::Usage("the agent ended the watch".to_owned()))
}

/// Rule: `DaemonSetStatusViewer` in kubectl's `rollout_status.go`.
fn progress(daemon_set: &DaemonSet) -> Result<Progress, CliError> {
    let name = daemon_set.metadata.name.as_deref().unwrap_or_default();
    let strategy = daemon_set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref()?.type_.as_deref());
    if strategy.is_some_and(|strategy| strategy != "RollingUpdate") {
        let message = "rollout status is only available for RollingUpdate strategy type";
        return Err(CliError::Usage(message.to_owned()));
    }
    let going_on = |line: String| Ok(Progress { line, is_done: false });
    let status = daemon_set.status.clone().unwrap_or_default();
    if daemon_set.metadata.generation > status.observed_generation {
        return going_on("Waiting for daemon set spec update to be observed...".to_owned());
    }
    let desired = status.desired_number_scheduled;
    let (updated, available) =
        (status.updated_number_scheduled.unwrap_or(0), status.number_available.unwrap_or(0));
    let waiting = format!("Waiting for daemon set {name:?} rollout to finish:");
    if updated < desired {
        return going_on(format!("{waiting} {updated} out of {desired} new pods have been updated..."));
    }
    if available < desired {
        return going_on(format!("{waiting} {available} of {desired} updated pods are available..."));
    }
    Ok(Progress { line: format!("daemon set {name:?} successfully rolled out"), is_done: true })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(strategy: &str, generation: i64, counts: [i32; 3]) -> String {
        let [desired, updated, available] = counts;
        let daemon_set: DaemonSet = serde_json::from_value(json!({
            "metadata": {"name": "a", "generation": generation},
            "spec": {"selector": {}, "template": {}, "updateStrategy": {"type": strategy}},
            "status": {
                "observedGeneration": 2, "desiredNumberScheduled": desired, "currentNumberScheduled": 1,
                "numberMisscheduled": 0, "numberReady": 0, "updatedNumberScheduled": updated,
                "numberAvailable": available,
            },
        }))
        .unwrap();
        match progress(&daemon_set) {
            Ok(Progress { line, is_done: true }) => format!("done: {line}"),
            Ok(Progress { line, .. }) => line,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_state_has_kubectls_line() {
        let waiting = "Waiting for daemon set \"a\" rollout to finish:";
        for (strategy, generation, counts, line) in [
            (
                "OnDelete",
                2,
                [1, 1, 1],
                "error: rollout status is only available for RollingUpdate strategy type".to_owned(),
            ),
            (
                "RollingUpdate",
                3,
                [1, 1, 1],
                "Waiting for daemon set spec update to be observed...".to_owned(),
            ),
            ("RollingUpdate", 2, [1, 0, 1], format!("{waiting} 0 out of 1 new pods have been updated...")),
            ("RollingUpdate", 2, [1, 1, 0], format!("{waiting} 0 of 1 updated pods are available...")),
            ("RollingUpdate", 2, [1, 1, 1], "done: daemon set \"a\" successfully rolled out".to_owned()),
            ("RollingUpdate", 2, [0, 0, 0], "done: daemon set \"a\" successfully rolled out".to_owned()),
        ] {
            assert_eq!(said(strategy, generation, counts), line);
        }
    }
}
