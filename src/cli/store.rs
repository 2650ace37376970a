//! `store confirm`: what has vanished from the store is meant to be gone.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use super::Output;
use super::client::{Client, JSON};
use super::error::CliError;

#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    verb: StoreVerb,
}

#[derive(Debug, Subcommand)]
enum StoreVerb {
    /// Believe that what has vanished is meant to be gone: removals that are held back are carried out
    Confirm,
}

pub(super) async fn run(args: &StoreArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    match args.verb {
        StoreVerb::Confirm => {
            let path = "/apis/daemonlet.dev/v1/store/confirm";
            client.send::<Value>(Method::POST, path, (JSON, Vec::new())).await?;
            writeln!(output.out, "removals confirmed")?;
            Ok(())
        }
    }
}
