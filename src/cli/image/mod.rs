//! `image import | ls | rm`: the images that the runtime has, and archives of some. Talks to the runtime itself, so that it works with no agent.

mod import;
mod list;
mod remove;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Output;
use super::agent::AgentArgs;
use super::error::CliError;
use crate::config::{self, Settings};
use crate::cri::{ClientOptions, CriClient, Endpoint};
use crate::error_chain::error_chain;
use crate::exit_code::ExitCode;

#[derive(Debug, Args)]
pub(super) struct ImageArgs {
    #[command(flatten)]
    agent: AgentArgs,
    #[command(subcommand)]
    verb: ImageVerb,
}

#[derive(Debug, Subcommand)]
enum ImageVerb {
    /// Import the images of archives (OCI layouts, or from docker save), and keep them from being garbage collected
    Import {
        /// Archives: tar files, plain or compressed with gzip or zstd
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the images that the runtime has
    Ls,
    /// Remove images
    Rm {
        /// Names or IDs
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        /// Also those that containers were made from
        #[arg(long)]
        force: bool,
    },
}

pub(super) async fn run(args: &ImageArgs, output: &mut Output<'_>) -> Result<ExitCode, CliError> {
    let settings = match config::load(&args.agent.sources()) {
        Ok(loaded) => loaded.settings,
        Err(refused) => {
            writeln!(output.err, "{refused}")?;
            return Ok(ExitCode::Config);
        }
    };
    let client = runtime(&settings)?;
    match &args.verb {
        ImageVerb::Import { files } => import::run(files, &client, output).await,
        ImageVerb::Ls => list::run(&client, output).await.map(|()| ExitCode::Ok),
        ImageVerb::Rm { images, force } => remove::run(images, *force, &client, output).await,
    }
}

/// The runtime that the agent would talk to.
pub(super) fn runtime(settings: &Settings) -> Result<CriClient, CliError> {
    let endpoint = Endpoint::new(&settings.container_runtime_endpoint);
    let endpoint = endpoint.map_err(|error| CliError::Failed(error_chain(&error)))?;
    let options = ClientOptions { request_timeout: settings.runtime_request_timeout };
    Ok(CriClient::connect(&endpoint, options))
}
