//! Values out of the merged layers, by key: each as what it should be, or a problem at the place where it is written.
//!
//! Which keys there are, and what a value may be, is for whoever asks: this module knows neither.

use super::keys::{Key, Shape, find};
use super::layer::{Given, Layer, kind, leaf};
use super::problem::{Origin, Problem};
use super::value::number_within;
use crate::manifest::tree::{Entry, Node, Value};

/// Which names a map may have.
#[derive(Clone, Copy)]
pub(super) enum Names<'a> {
    Known(&'a [&'a str]),
    /// Whatever can be made sense of.
    Any,
}

/// Takes values out of a layer. Where one is wrong it notes the problem and goes on with a stand-in.
pub(super) struct Reader<'a> {
    layer: &'a Layer,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layer: &'a Layer, problems: &'a mut Vec<Problem>) -> Self {
        Self { layer, problems }
    }

    /// A single value.
    pub(super) fn text<T: Default>(
        &mut self,
        path: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let (key, given) = self.given(path);
        let read = scalar(key, &given.node.value).and_then(|text| parse(&text));
        read.unwrap_or_else(|message| {
            self.note(path, &given, 0, message);
            T::default()
        })
    }

    /// A single value, or none where it is empty.
    pub(super) fn optional<T>(
        &mut self,
        path: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.text(path, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) })
    }

    /// A whole number from `least` on.
    pub(super) fn number(&mut self, path: &'static str, least: i64) -> u32 {
        u32::try_from(self.text(path, number_within(least, i64::from(u32::MAX)))).unwrap_or_default()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy + Default>(&mut self, path: &'static str, words: &[(&str, T)]) -> T {
        self.text(path, |text| {
            let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            found.ok_or_else(|| format!("{text:?} is none of {}", all.join(", ")))
        })
    }

    /// A list of single values.
    pub(super) fn list<T>(
        &mut self,
        path: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let (key, given) = self.given(path);
        let items = match &given.node.value {
            Value::List(items) => items.clone(),
            Value::String(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| leaf(Value::String(part.to_owned()))).collect()
            }
            other => {
                self.note(path, &given, 0, format!("must be a list, not {}", kind(other)));
                Vec::new()
            }
        };
        let mut found = Vec::new();
        for item in items {
            match scalar(key, &item.value).and_then(|text| parse(&text)) {
                Ok(value) => found.push(value),
                Err(message) => self.note(path, &given, item.line, message),
            }
        }
        found
    }

    /// A map whose names are such as `names` allows, each given to `take`.
    pub(super) fn map(
        &mut self,
        path: &'static str,
        names: Names<'_>,
        mut take: impl FnMut(&str, &str) -> Result<(), String>,
    ) {
        let (key, given) = self.given(path);
        let entries = match &given.node.value {
            Value::Map(entries) => entries.clone(),
            Value::String(text) => pairs(text),
            other => {
                self.note(
                    path,
                    &given,
                    0,
                    format!("must have a value for each name, not be {}", kind(other)),
                );
                Vec::new()
            }
        };
        for Entry { key: name, line, node } in entries {
            let read = match names {
                Names::Known(known) if !known.contains(&name.as_str()) => {
                    Err(format!("there is no such name, only {}", known.join(", ")))
                }
                Names::Known(_) | Names::Any => scalar(key, &node.value).and_then(|text| take(&name, &text)),
            };
            if let Err(message) = read {
                self.note(path, &given, line, format!("{name}: {message}"));
            }
        }
    }

    pub(super) fn refuse(&mut self, path: &'static str, message: String) {
        let (_, given) = self.given(path);
        self.note(path, &given, 0, message);
    }

    /// Two settings contradict each other: what is told of is the one that somebody has written.
    pub(super) fn refuse_together(&mut self, [first, second]: [&'static str; 2], message: String) {
        let is_written = |path| !matches!(self.given(path).1.origin, Origin::Default);
        self.refuse(if is_written(first) || !is_written(second) { first } else { second }, message);
    }

    /// What is written, or the default.
    fn given(&self, path: &'static str) -> (Option<&'static Key>, Given) {
        let key = find(path);
        let written = self.layer.0.get(path).filter(|given| given.node.value != Value::Null).cloned();
        let given = written.unwrap_or_else(|| {
            let default = key.map(|key| key.default).unwrap_or_default();
            Given { node: leaf(Value::String(default.to_owned())), origin: Origin::Default }
        });
        (key, given)
    }

    /// Notes a problem at a line of its own, where there is one.
    fn note(&mut self, path: &str, given: &Given, line: u32, message: String) {
        let origin = match &given.origin {
            Origin::File { path, .. } if line > 0 => Origin::File { path: path.clone(), line },
            origin => origin.clone(),
        };
        self.problems.push(Problem { origin, key: path.to_owned(), message });
    }
}

/// The text of a single value. A number where a text is due is refused: YAML has read it already, and `010` is 8 by now.
fn scalar(key: Option<&Key>, value: &Value) -> Result<String, String> {
    let numbers = key.is_none_or(|key| matches!(key.shape, Shape::Bare | Shape::Map));
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) if numbers => Ok(flag.to_string()),
        Value::Int(number) if numbers => Ok(number.to_string()),
        Value::Float(number) if numbers => Ok(number.to_string()),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => Err(format!(
            "must be a string, not {}: write it in quotes, and with its unit if it has one",
            kind(value)
        )),
        Value::Null => Err("has no value".to_owned()),
        Value::List(_) | Value::Map(_) => Err(format!("must be a single value, not {}", kind(value))),
    }
}

fn pairs(text: &str) -> Vec<Entry> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let node = Node { line: 0, value: Value::String(value.to_owned()) };
            Entry { key: name.to_owned(), line: 0, node }
        })
        .collect()
}
