//! `daemonlet version`: this program's version, and the agent's.

use clap::Args;
use serde_json::{Value, json};

use super::Output;
use super::client::Client;
use super::error::CliError;
use super::status::Format;

#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// Only this program's version; no agent is asked
    #[arg(long)]
    client: bool,
    /// How to show it
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

pub(super) async fn run(
    args: &VersionArgs,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let own = env!("CARGO_PKG_VERSION");
    let asked = if args.client { None } else { Some(client.get::<Value>("/version").await) };
    let (agent, failed) = match asked {
        None => (None, None),
        Some(Ok(version)) => (Some(version), None),
        Some(Err(error)) => (None, Some(error)),
    };
    if let Some(format) = args.output {
        let mut document = json!({"clientVersion": {"gitVersion": own}});
        if let Some(agent) = agent {
            document["serverVersion"] = agent;
        }
        output.out.write_all(format.render(&document)?.as_bytes())?;
    } else {
        writeln!(output.out, "Client Version: {own}")?;
        if let Some(agent) = agent {
            let text = |field: &str| agent[field].as_str().unwrap_or("?").to_owned();
            writeln!(output.out, "Agent Version: {}", text("daemonletVersion"))?;
            writeln!(output.out, "Kubernetes API: v{}.{}", text("major"), text("minor"))?;
        }
    }
    failed.map_or(Ok(()), Err)
}
