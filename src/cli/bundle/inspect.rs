//! `bundle inspect`: what a bundle holds. One that is not whole is not shown; one that nobody trusts is, and is said to be.

use std::path::Path;

use super::opened::{self, Opened};
use super::{CliError, Output, platforms};
use crate::cli::progress::size;
use crate::config::Settings;

pub(super) fn run(file: &Path, settings: &Settings, output: &mut Output<'_>) -> Result<(), CliError> {
    let bundle = opened::read(file, |_| {})?;
    let trust_file = settings.trust_file.as_deref();
    let signature = match opened::open(file, trust_file) {
        Ok(Opened { is_signed: None, .. }) => "not looked at: there is no trust file".to_owned(),
        Ok(_) => "good".to_owned(),
        Err(error) => format!("refused: {error}"),
    };
    writeln!(output.out, "Digest:     {}", bundle.digest)?;
    writeln!(output.out, "Serial:     {}", bundle.site.serial)?;
    writeln!(output.out, "Platforms:  {}", platforms(&bundle.site.platforms))?;
    writeln!(output.out, "Signature:  {signature}")?;
    writeln!(output.out, "Manifests:")?;
    for manifest in &bundle.manifests {
        writeln!(output.out, "  {} ({})", manifest.path, size(manifest.descriptor.size))?;
    }
    writeln!(output.out, "Images:")?;
    for name in &bundle.images {
        writeln!(output.out, "  {name}")?;
    }
    Ok(())
}
