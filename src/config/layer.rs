//! One source's settings, and laying one source over another.

use std::collections::BTreeMap;

use super::keys::{Key, Shape};
use super::problem::Origin;
use crate::manifest::tree::{Node, Value};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Given {
    /// What is written; `null` is the same as nothing.
    pub(super) node: Node,
    /// Where.
    pub(super) origin: Origin,
}

/// What is written, by the path of its key.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Layer(pub(super) BTreeMap<&'static str, Given>);

impl Layer {
    /// Adds what one line, variable or flag says.
    pub(super) fn insert(&mut self, key: &'static Key, given: Given) {
        match self.0.get_mut(key.path) {
            Some(below) if key.shape == Shape::Map => lay_over(below, given),
            _ => drop(self.0.insert(key.path, given)),
        }
    }

    /// Adds a text of the environment or of a flag.
    pub(super) fn insert_text(&mut self, key: &'static Key, text: &str, origin: Origin) {
        self.insert(key, Given { node: leaf(Value::String(text.to_owned())), origin });
    }
}

/// Maps are united entry by entry, so that a drop-in can add to one.
fn lay_over(below: &mut Given, over: Given) {
    match (&mut below.node.value, over.node.value) {
        (Value::Map(entries), Value::Map(further)) => {
            for entry in further {
                match entries.iter_mut().find(|earlier| earlier.key == entry.key) {
                    Some(earlier) => *earlier = entry,
                    None => entries.push(entry),
                }
            }
            below.origin = over.origin;
        }
        (_, value) => *below = Given { node: Node { line: over.node.line, value }, origin: over.origin },
    }
}

/// What a value is, in the words of people who write YAML.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::String(_) => "a string",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

/// A value that is written in no file.
pub(super) const fn leaf(value: Value) -> Node {
    Node { line: 0, value }
}
