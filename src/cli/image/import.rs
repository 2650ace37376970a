//! `image import`: each archive whole or not at all; one that can't be imported holds up no other.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::{CliError, ExitCode, Output};
use crate::archive::{self, Platform};
use crate::cli::progress::{Progress, size};
use crate::containerd::{Existing, Import, ImportError};
use crate::cri::CriClient;
use crate::error_chain::error_chain;

const BUFFER: usize = 256 * 1024;

pub(super) async fn run(
    files: &[PathBuf],
    client: &CriClient,
    output: &mut Output<'_>,
) -> Result<ExitCode, CliError> {
    let mut code = ExitCode::Ok;
    for file in files {
        if let Err(error) = import(file, client, output).await {
            match error {
                Failure::Import(error) => {
                    writeln!(output.err, "error: {}: {}", file.display(), error_chain(&error))?;
                    code = ExitCode::Failed;
                }
                Failure::Cli(error) => return Err(error),
            }
        }
    }
    Ok(code)
}

enum Failure {
    Import(ImportError),
    Cli(CliError),
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        Self::Import(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Cli(error.into())
    }
}

async fn import(file: &Path, client: &CriClient, output: &mut Output<'_>) -> Result<(), Failure> {
    let in_archive = |source| ImportError::Archive { path: file.to_owned(), source };
    // Nothing else waits on this process's one thread.
    let source = File::open(file).map_err(|error| in_archive(error.into()))?;
    let source = BufReader::with_capacity(BUFFER, source);
    let contents = archive::survey(source, &Platform::of_this_node()).map_err(in_archive)?;
    for left_out in &contents.left_out {
        writeln!(output.err, "{}: left out: {left_out}", file.display())?;
    }
    let import = Import { images: &contents.images, archive: Some(file), existing: Existing::Replace };
    let mut bar = Progress::new(file.display().to_string(), import.size());
    import.run(client, &mut |bytes| bar.add(bytes)).await?;
    drop(bar);
    for image in &contents.images {
        for name in &image.names {
            writeln!(output.out, "{name} imported ({})", size(image.size()))?;
        }
    }
    Ok(())
}
