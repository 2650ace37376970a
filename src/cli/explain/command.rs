//! The verb itself: asks the agent, or decides offline when files are given.

use std::path::PathBuf;

use clap::Args;

use super::{Output as Format, explain_offline, render};
use crate::api::resource::DAEMON_SETS;
use crate::cli::Output;
use crate::cli::client::{Client, escape};
use crate::cli::error::CliError;
use crate::cli::target::{Scope, targets};
use crate::error_chain::error_chain;
use crate::exit_code::ExitCode;
use crate::placement::Explanation;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    /// Which DaemonSets: ds/NAME or ds NAME…; every one of the namespace if no name is given
    #[arg(value_name = "ds/NAME")]
    words: Vec<String>,
    /// Explain the DaemonSets of these files, without an agent (- is standard input)
    #[arg(short = 'f', long = "filename", value_name = "FILE", requires = "node", conflicts_with = "words")]
    files: Vec<PathBuf>,
    /// The node to explain them for: a file with one Node
    #[arg(long, value_name = "NODE.yaml", requires = "files")]
    node: Option<PathBuf>,
    #[command(flatten)]
    scope: Scope,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(in crate::cli) async fn run(
    args: &ExplainArgs,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<ExitCode, CliError> {
    match &args.node {
        Some(node) => offline(args, node, output),
        None => ask(args, client, output).await,
    }
}

fn offline(
    args: &ExplainArgs,
    node: &std::path::Path,
    output: &mut Output<'_>,
) -> Result<ExitCode, CliError> {
    let explained = explain_offline(&args.files, node, args.output)
        .map_err(|error| CliError::Failed(error_chain(&error)))?;
    for problem in &explained.problems {
        writeln!(output.err, "{problem}")?;
    }
    output.out.write_all(explained.text.as_bytes())?;
    Ok(if explained.is_complete() { ExitCode::Ok } else { ExitCode::Failed })
}

async fn ask(args: &ExplainArgs, client: &Client, output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let words = if args.words.is_empty() { &["ds".to_owned()][..] } else { &args.words };
    let (mut explanations, mut errors) = (Vec::new(), Vec::new());
    for target in targets(words)? {
        if target.resource != &DAEMON_SETS {
            let kind = target.resource.plural;
            return Err(CliError::Usage(format!(
                "only DaemonSets are placed on a node, not {kind}: explain ds/NAME"
            )));
        }
        let list: serde_json::Value = client.get(&args.scope.path(&DAEMON_SETS)).await?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let named = |item: &&serde_json::Value| {
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            target.names.is_empty() || target.names.iter().any(|wanted| wanted == name)
        };
        let mut keys: Vec<(&str, &str)> = Vec::new();
        for item in items.iter().filter(named) {
            let text = |field: &str| item["metadata"][field].as_str().unwrap_or_default();
            keys.push((text("namespace"), text("name")));
        }
        // A name that is not in the list is asked for all the same: the agent's refusal is the message.
        let missing = target.names.iter().filter(|name| !keys.iter().any(|(_, found)| found == name));
        let missing: Vec<(&str, &str)> =
            missing.map(|name| (args.scope.namespace(), name.as_str())).collect();
        for (namespace, name) in keys.into_iter().chain(missing) {
            let path = format!("/apis/daemonlet.dev/v1/explanations/{}/{}", escape(namespace), escape(name));
            match client.get::<Explanation>(&path).await {
                Ok(explanation) => explanations.push(explanation.into()),
                Err(error) => errors.push(error),
            }
        }
        if explanations.is_empty() && errors.is_empty() {
            args.scope.print_nothing_found(std::iter::once(&DAEMON_SETS), output)?;
        }
    }
    if !explanations.is_empty() {
        output.out.write_all(render(&explanations, args.output)?.as_bytes())?;
    }
    CliError::all(errors).map(|()| ExitCode::Ok)
}
