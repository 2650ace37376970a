//! `bundle create | inspect | apply | rollback`: a whole site in one file. Talks to the runtime and the store itself, so that it works with no
//! agent; one that runs sees the store change.

mod apply;
mod create;
mod inspect;
mod opened;
mod settle;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Output;
use super::agent::AgentArgs;
use super::error::CliError;
use super::image::runtime;
use crate::archive::Platform;
use crate::config;
use crate::error_chain::error_chain;
use crate::exit_code::ExitCode;

#[derive(Debug, Args)]
pub(super) struct BundleArgs {
    #[command(flatten)]
    agent: AgentArgs,
    #[command(subcommand)]
    verb: BundleVerb,
}

#[derive(Debug, Subcommand)]
enum BundleVerb {
    /// Pack manifests and every image that they name, out of the local containerd, into one file
    Create(create::CreateArgs),
    /// Show what a bundle holds, and whether it is whole
    Inspect {
        /// The bundle
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Import a bundle's images, then put its manifests into the store, all at once
    ///
    /// The bundle stays among the image archives, as a copy, so that its images come back when they go missing;
    /// so does the one before it, for `bundle rollback`. With `keepBundles: false` in the configuration neither does.
    Apply {
        /// The bundle
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Also one that is older than what this node has had
        #[arg(long)]
        allow_older: bool,
    },
    /// Put the manifests of the bundle before into the store again, once its images are imported if it was kept
    Rollback,
}

pub(super) async fn run(args: &BundleArgs, output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let settings = match config::load(&args.agent.sources()) {
        Ok(loaded) => loaded.settings,
        Err(refused) => {
            writeln!(output.err, "{refused}")?;
            return Ok(ExitCode::Config);
        }
    };
    match &args.verb {
        BundleVerb::Create(args) => create::run(args, &runtime(&settings)?, output).await?,
        BundleVerb::Inspect { file } => inspect::run(file, &settings, output)?,
        BundleVerb::Apply { file, allow_older } => {
            apply::apply(file, *allow_older, &settings, &runtime(&settings)?, output).await?;
        }
        BundleVerb::Rollback => apply::roll_back(&settings, &runtime(&settings)?, output).await?,
    }
    Ok(ExitCode::Ok)
}

/// A failure in the words of its whole chain.
fn failed(error: impl std::error::Error) -> CliError {
    CliError::Failed(error_chain(&error))
}

/// A failure that concerns a file.
fn failed_at(file: &std::path::Path) -> impl Fn(&dyn std::error::Error) -> CliError {
    move |error| CliError::Failed(format!("{}: {}", file.display(), error_chain(error)))
}

fn platforms(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
