//! `store confirm | allow-older | verify`: what an operator says to the store, and whether a node would trust it. `verify` asks no agent.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hyper::Method;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::Output;
use super::agent::AgentArgs;
use super::client::{Client, JSON};
use super::error::CliError;
use crate::agent::{last_good, store_trust};
use crate::config;
use crate::exit_code::ExitCode;
use crate::store;

#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    verb: StoreVerb,
}

#[derive(Debug, Subcommand)]
enum StoreVerb {
    /// Believe that what has vanished is meant to be gone: removals that are held back are carried out
    Confirm,
    /// Take the store's signed list (SHA256SUMS), though it was signed before one that was used here, or though there is none any more
    AllowOlder,
    /// Check whether this node would trust a store: that SHA256SUMS is signed (SHA256SUMS.minisig) and its manifests are those that it lists
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
struct VerifyArgs {
    #[command(flatten)]
    agent: AgentArgs,
    /// The public keys, instead of the configuration's trustFile
    #[arg(long, value_name = "FILE")]
    trust_file: Option<PathBuf>,
    /// The store, instead of the configuration's: then no bundle of this node vouches for it, and any list is new enough
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) async fn run(
    args: &StoreArgs,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<ExitCode, CliError> {
    match &args.verb {
        StoreVerb::Confirm => {
            client.send::<Value>(Method::POST, &path("confirm"), (JSON, Vec::new())).await?;
            writeln!(output.out, "removals confirmed")?;
        }
        StoreVerb::AllowOlder => {
            client.send::<Value>(Method::POST, &path("allow-older"), (JSON, Vec::new())).await?;
            writeln!(output.out, "an older list is allowed, if the store has one now")?;
        }
        StoreVerb::Verify(args) => return verify(args, output),
    }
    Ok(ExitCode::Ok)
}

fn path(verb: &str) -> String {
    format!("/apis/daemonlet.dev/v1/store/{verb}")
}

fn verify(args: &VerifyArgs, output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let mut settings = match config::load(&args.agent.sources()) {
        Ok(loaded) => loaded.settings,
        Err(refused) => {
            writeln!(output.err, "{refused}")?;
            return Ok(ExitCode::Config);
        }
    };
    if let Some(trust_file) = &args.trust_file {
        settings.trust_file = Some(trust_file.clone());
    }
    let Some(mut trust) = store_trust(&settings) else {
        let message =
            "there is no trustFile in the configuration, so any store is trusted; name one with --trust-file";
        return Err(CliError::Usage(message.to_owned()));
    };
    let mut remembered = last_good(&settings);
    let store: &Path = match &args.dir {
        Some(dir) => {
            // What this node remembers is of its own store.
            (trust.bundles, remembered) = (PathBuf::new(), PathBuf::new());
            dir
        }
        None => &settings.store.path,
    };
    let found = store::verify(store, &trust, &remembered);
    if !found.problems.is_empty() {
        for problem in &found.problems {
            writeln!(output.out, "{problem}")?;
        }
        writeln!(output.out, "{}: not trusted", store.display())?;
        return Ok(ExitCode::Failed);
    }
    let voucher = match found.signed.and_then(|at| Timestamp::from_second(i64::try_from(at).ok()?).ok()) {
        Some(at) if at > Timestamp::UNIX_EPOCH => format!("its list was signed at {at}"),
        Some(_) => "its list is signed".to_owned(),
        None => "a bundle has put them there".to_owned(),
    };
    writeln!(output.out, "{}: trusted: {} manifests, {voucher}", store.display(), found.manifests)?;
    Ok(ExitCode::Ok)
}
