//! A configuration file's text to the settings in it.

use std::path::Path;
use std::sync::Arc;

use super::keys;
use super::layer::{Given, Layer, kind};
use super::problem::{Origin, Problem};
use crate::manifest::tree::{Entry, Value};
use crate::manifest::yaml;

/// Reads the settings of a file into `layer`, over what is there.
pub(super) fn read(path: &Arc<Path>, text: &str, layer: &mut Layer, problems: &mut Vec<Problem>) {
    let at = |line| Origin::File { path: path.clone(), line };
    let mut refuse = |line, key: &str, message: String| {
        problems.push(Problem { origin: at(line), key: key.to_owned(), message });
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (documents, error) = yaml::parse(text, 1);
    if let Some(error) = error {
        refuse(error.line, "", format!("this is no YAML: {}", error.message));
    }
    if let Some(second) = documents.get(1) {
        refuse(second.root.line, "", "a second document: write all settings in one".to_owned());
    }
    let Some(document) = documents.into_iter().next() else { return };
    for (key, line) in &document.duplicates {
        refuse(*line, &key.to_string(), "the key is written twice".to_owned());
    }
    let line = document.root.line;
    match document.root.value {
        Value::Map(entries) => section(entries, "", &at, layer, &mut refuse),
        Value::Null => {}
        other => {
            refuse(line, "", format!("settings are written as `key: value`, this is {}", kind(&other)));
        }
    }
}

fn section(
    entries: Vec<Entry>,
    prefix: &str,
    at: &impl Fn(u32) -> Origin,
    layer: &mut Layer,
    refuse: &mut impl FnMut(u32, &str, String),
) {
    for Entry { key, line, node } in entries {
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        if let Some(key) = keys::find(&path) {
            layer.insert(key, Given { node, origin: at(line) });
        } else if keys::is_section(&path) {
            match node.value {
                Value::Map(entries) => section(entries, &path, at, layer, refuse),
                Value::Null => {}
                other => {
                    refuse(
                        line,
                        &path,
                        format!("this is a section with keys of its own, not {}", kind(&other)),
                    );
                }
            }
        } else {
            refuse(line, &path, unknown(&path));
        }
    }
}

/// What to say about a key that isn't one.
pub(super) fn unknown(path: &str) -> String {
    match keys::nearest(path) {
        Some(nearest) => format!("there is no such key, did you mean {nearest}?"),
        None => "there is no such key".to_owned(),
    }
}
