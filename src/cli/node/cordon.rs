//! `cordon` and `uncordon`. Pods of DaemonSets tolerate what a cordon brings, so a cordon by itself ends none and keeps none away.

use clap::Args;
use serde_json::json;

use super::{get, name_of, patch};
use crate::cli::Output;
use crate::cli::client::Client;
use crate::cli::error::CliError;

#[derive(Debug, Args)]
pub(in crate::cli) struct CordonArgs {
    /// This node's name
    #[arg(value_name = "NODE")]
    node: Option<String>,
}

pub(in crate::cli) async fn run(
    args: &CordonArgs,
    cordon: bool,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let node = get(args.node.as_deref(), client).await?;
    let is_so = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default() == cordon;
    let done = if cordon { "cordoned" } else { "uncordoned" };
    if is_so {
        writeln!(output.out, "node/{} already {done}", name_of(&node))?;
        return Ok(());
    }
    let wanted = cordon.then_some(true);
    patch(&node, &json!({"spec": {"unschedulable": wanted}}), client).await?;
    writeln!(output.out, "node/{} {done}", name_of(&node))?;
    Ok(())
}
