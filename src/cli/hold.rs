//! `hold` and `release`: keep updates waiting, see who does, and have them go on.

use std::time::Duration;

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::Output;
use super::client::{Client, JSON, with_query};
use super::error::CliError;
use super::target::{Scope, targets};
use super::text::TabWriter;
use crate::api::resource::DAEMON_SETS;
use crate::config::duration;

const PATH: &str = "/apis/daemonlet.dev/v1/holds";

#[derive(Debug, Args)]
pub(super) struct HoldArgs {
    /// Whose updates wait: ds/NAME…; those of every DaemonSet on this node if none is named
    #[arg(value_name = "ds/NAME")]
    words: Vec<String>,
    /// For how long
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = duration)]
    ttl: Duration,
    /// Why, for others to read
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Show what is held, and by whom
    #[arg(long, conflicts_with_all = ["words", "reason"])]
    list: bool,
    #[command(flatten)]
    scope: Scope,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseArgs {
    /// Whose updates may go on: ds/NAME…; those of the whole node if none is named
    #[arg(value_name = "ds/NAME")]
    words: Vec<String>,
    #[command(flatten)]
    scope: Scope,
}

pub(super) async fn hold(args: &HoldArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    if args.list {
        return list(client, output).await;
    }
    for (target, shown) in names(&args.words, &args.scope)? {
        let wanted = json!({
            "target": target, "by": whoever(), "reason": args.reason, "ttlSeconds": args.ttl.as_secs(),
        });
        let hold: Value = client.send(Method::POST, PATH, (JSON, wanted.to_string().into_bytes())).await?;
        let until = hold["until"].as_str().unwrap_or_default();
        writeln!(output.out, "{shown} held until {until}")?;
    }
    Ok(())
}

pub(super) async fn release(
    args: &ReleaseArgs,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let by = whoever();
    let mut errors = Vec::new();
    for (target, shown) in names(&args.words, &args.scope)? {
        let path = with_query(PATH, &[("target", &target), ("by", &by)]);
        match client.send::<Value>(Method::DELETE, &path, (JSON, Vec::new())).await {
            Ok(hold) => {
                let by = hold["by"].as_str().unwrap_or_default();
                writeln!(output.out, "{shown} released (it was held by {by})")?;
            }
            Err(error) => errors.push(error),
        }
    }
    CliError::all(errors)
}

async fn list(client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let holds: Value = client.get(PATH).await?;
    let items = holds["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        writeln!(output.err, "Nothing is held")?;
        return Ok(());
    }
    let mut table = "TARGET\tBY\tUNTIL\tREASON\n".to_owned();
    for hold in items {
        let cells = ["target", "by", "until", "reason"].map(|field| hold[field].as_str().unwrap_or_default());
        table.push_str(&cells.join("\t"));
        table.push('\n');
    }
    output.out.write_all(TabWriter::for_tables().align(&table).as_bytes())?;
    Ok(())
}

/// The names by which the agent knows what is meant, and how to call it.
fn names(words: &[String], scope: &Scope) -> Result<Vec<(String, String)>, CliError> {
    if words.is_empty() {
        return Ok(vec![("node".to_owned(), "node".to_owned())]);
    }
    let mut names = Vec::new();
    for target in targets(words)? {
        if target.resource != &DAEMON_SETS || target.names.is_empty() {
            return Err(CliError::Usage("name DaemonSets: ds/NAME".to_owned()));
        }
        for name in target.names {
            names.push((format!("{}_{name}", scope.namespace()), format!("daemonset.apps/{name}")));
        }
    }
    Ok(names)
}

/// Who asks: the user, and the one behind sudo.
fn whoever() -> String {
    let of = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    of("SUDO_USER").or_else(|| of("USER")).unwrap_or_else(|| "root".to_owned())
}
