//! `daemonlet metrics`: what the agent counts, in the text format that Prometheus and node-exporter's textfile collector read.

use super::Output;
use super::client::Client;
use super::error::CliError;

/// The format that everything reads; the API has `OpenMetrics`, too.
const FORMAT: &str = "text/plain;version=0.0.4";

pub(super) async fn run(client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let mut text = client.stream("/metrics", FORMAT).await?;
    while let Some(piece) = text.next().await? {
        output.out.write_all(&piece)?;
    }
    Ok(())
}
