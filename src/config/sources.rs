//! Where settings are read from: the file, its drop-ins, the environment, the flags; each is laid over the ones before.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::build;
use super::document;
use super::environment;
use super::keys;
use super::layer::Layer;
use super::problem::{Origin, Problem, Refused};
use super::settings::Settings;

/// More than any configuration has.
const MAX_BYTES: u64 = 1 << 20;

/// Where to read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file. Drop-ins are the `*.yaml` in a directory beside it that is named like it, with `.d` for its extension.
    pub file: PathBuf,
    /// Whether the file must exist, as it must when the user has named it.
    pub file_required: bool,
    /// The process's environment.
    pub environment: Vec<(String, String)>,
    /// Keys with their section, and values as the environment would have them.
    pub flags: Vec<(String, String)>,
}

/// A configuration that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What was configured.
    pub settings: Settings,
    /// What is odd but harmless.
    pub warnings: Vec<Problem>,
}

/// Reads, merges and checks the configuration.
///
/// # Errors
/// With everything that is wrong in all sources.
pub fn load(sources: &Sources) -> Result<Loaded, Refused> {
    let mut layer = Layer::default();
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    for (path, required) in files(sources, &mut problems) {
        let path: Arc<Path> = path.into();
        match text_of(&path) {
            Ok(text) => document::read(&path, &text, &mut layer, &mut problems),
            Err(error) if error.kind() == ErrorKind::NotFound && !required => {}
            Err(error) => problems.push(whole_file(&path, format!("the file cannot be read: {error}"))),
        }
    }
    environment::read(sources.environment.iter().cloned(), &mut layer, &mut warnings);
    for (path, value) in &sources.flags {
        if let Some(key) = keys::find(path) {
            layer.insert_text(key, value, Origin::Flag);
        } else {
            let message = document::unknown(path);
            problems.push(Problem { origin: Origin::Flag, key: path.clone(), message });
        }
    }
    let settings = build::settings(&layer, &mut problems);
    if problems.is_empty() { Ok(Loaded { settings, warnings }) } else { Err(Refused { problems }) }
}

/// Reads and checks the text of one file by itself, as if there were no drop-ins, environment and flags.
///
/// # Errors
/// With everything that is wrong in it.
pub fn of_text(path: &Path, text: &str) -> Result<Loaded, Refused> {
    let (mut layer, mut problems) = (Layer::default(), Vec::new());
    document::read(&Arc::from(path), text, &mut layer, &mut problems);
    let settings = build::settings(&layer, &mut problems);
    if problems.is_empty() {
        Ok(Loaded { settings, warnings: Vec::new() })
    } else {
        Err(Refused { problems })
    }
}

/// The file and its drop-ins, in the order in which they are laid over one another, and whether each must exist.
fn files(sources: &Sources, problems: &mut Vec<Problem>) -> Vec<(PathBuf, bool)> {
    let mut found = vec![(sources.file.clone(), sources.file_required)];
    let directory = sources.file.with_extension("d");
    let listed = match fs::read_dir(&directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    match listed {
        Ok(mut paths) => {
            let is_hidden =
                |path: &Path| path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            paths.retain(|path| path.extension().is_some_and(|it| it == "yaml") && !is_hidden(path));
            paths.sort();
            found.extend(paths.into_iter().map(|path| (path, true)));
        }
        Err(error) => {
            problems.push(whole_file(&directory.into(), format!("the drop-ins cannot be listed: {error}")));
        }
    }
    found
}

fn text_of(path: &Path) -> io::Result<String> {
    // Asked before opening: a fifo would never open.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    if metadata.len() > MAX_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is larger than 1 MiB"));
    }
    fs::read_to_string(path)
}

fn whole_file(path: &Arc<Path>, message: String) -> Problem {
    Problem { origin: Origin::File { path: path.clone(), line: 0 }, key: String::new(), message }
}
