//! `daemonlet validate`: what the agent would make of manifests, told offline.
//!
//! For people before they deploy and for CI: every problem in one run, sorted by file and line, and an exit code.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::policy;
use crate::manifest::{MAX_FILE_BYTES, Problem, Severity};
use crate::store::{Source, Survey, survey};

/// How a validation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Every object is good.
    Good,
    /// There are errors, or warnings in strict mode.
    Problems,
}

impl Validity {
    /// The command's exit code. 2 is left for wrong usage.
    pub const fn exit_code(self) -> u8 {
        match self {
            Validity::Good => 0,
            Validity::Problems => 1,
        }
    }
}

/// Why nothing was validated: the command was used wrongly (exit code 2).
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// A target can't be read.
    #[error("cannot read {}", target.display())]
    Read {
        /// The file or directory.
        target: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No target at all.
    #[error("nothing to validate: give files, directories or - for standard input")]
    Nothing,
    /// The findings can't be written.
    #[error("cannot write what was found")]
    Write(#[from] io::Error),
}

/// Validates files, directories and standard input (`-`) as one store, and writes what was found to `out`. In strict mode a
/// warning is an error.
///
/// # Errors
/// When a target can't be read at all, or `out` can't be written.
pub fn run(
    targets: &[PathBuf],
    strict: bool,
    input: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<Validity, ValidateError> {
    let mut found = survey(sources(targets, input)?);
    found.problems.extend(policy::problems(&found.objects));
    found.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    if strict {
        for problem in &mut found.problems {
            if problem.severity == Severity::Warning {
                problem.severity = Severity::Error;
            }
        }
    }
    for problem in &found.problems {
        writeln!(out, "{problem}")?;
    }
    writeln!(out, "{}", summary(&found))?;
    Ok(if count(&found.problems, Severity::Error) == 0 { Validity::Good } else { Validity::Problems })
}

/// What the targets hold, each once.
pub(super) fn sources(targets: &[PathBuf], input: &mut dyn Read) -> Result<Vec<Source>, ValidateError> {
    if targets.is_empty() {
        return Err(ValidateError::Nothing);
    }
    let mut seen = HashSet::new();
    let mut sources = Vec::new();
    for target in targets {
        let same = fs::canonicalize(target).unwrap_or_else(|_| target.clone());
        if seen.insert(same) {
            let source = source(target, input);
            sources.push(source.map_err(|source| ValidateError::Read { target: target.clone(), source })?);
        }
    }
    Ok(sources)
}

fn source(target: &Path, input: &mut dyn Read) -> io::Result<Source> {
    let file: Arc<Path> = Arc::from(target);
    if target == Path::new("-") {
        return Ok(Source::Content(file, bounded(input)?));
    }
    if fs::metadata(target)?.is_dir() {
        fs::read_dir(target)?;
        return Ok(Source::Tree(file));
    }
    Ok(Source::Content(file, bounded(&mut File::open(target)?)?))
}

/// No more than tells that it is too much.
fn bounded(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn count(problems: &[Problem], severity: Severity) -> usize {
    problems.iter().filter(|problem| problem.severity == severity).count()
}

fn summary(found: &Survey) -> String {
    let many = |number: usize, one: &str| {
        if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
    };
    let left_out = match found.ignored.len() {
        0 => String::new(),
        number => format!(", {} left out by name or type", many(number, "file")),
    };
    format!(
        "{} good in {}: {}, {}{left_out}",
        many(found.objects.0.len(), "object"),
        many(found.files, "file"),
        many(count(&found.problems, Severity::Error), "error"),
        many(count(&found.problems, Severity::Warning), "warning"),
    )
}

#[cfg(test)]
mod tests;
