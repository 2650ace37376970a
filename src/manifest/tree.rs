//! A document as a tree of values, each with the line it is written on.
//!
//! What the API server holds as JSON after reading YAML, plus lines. Nothing here knows a Kubernetes type.

use super::path::{FieldPath, Segment};

/// A value and its place in the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// The line the value begins on, counted from 1 in the file.
    pub(crate) line: u32,
    /// What it is.
    pub(crate) value: Value,
}

/// What JSON can say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// A fraction, or an integer beyond 64 bits.
    Float(f64),
    String(String),
    List(Vec<Node>),
    /// In the order of writing, each key once.
    Map(Vec<Entry>),
}

/// A key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The key, as JSON would hold it.
    pub(crate) key: String,
    /// The line the key is written on.
    pub(crate) line: u32,
    /// Its value.
    pub(crate) node: Node,
}

impl Value {
    /// The kind of value in the words of Go's JSON decoder, which users know from `kubectl`.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::Float(_) => "number",
            Value::String(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
        }
    }
}

impl Node {
    /// The entry of this key, where the node is a map that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value of this key, where the node is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The string of this key; `None` where it is absent or no string.
    pub(crate) fn str(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// How many values it is made of, itself included.
    pub(crate) fn count(&self) -> usize {
        1 + match &self.value {
            Value::List(items) => items.iter().map(Node::count).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.count()).sum(),
            _ => 0,
        }
    }

    /// Whether a field is written and not null.
    pub(crate) fn holds(&self, path: &FieldPath) -> bool {
        let mut node = self;
        for segment in path.segments() {
            let next = match segment {
                Segment::Field(name) => node.get(name),
                Segment::Key(key) => node.get(key),
                Segment::Index(index) => match &node.value {
                    Value::List(items) => items.get(*index),
                    _ => None,
                },
            };
            let Some(next) = next else { return false };
            node = next;
        }
        node.value != Value::Null
    }

    /// The line of the field at `path`, or of its nearest parent that is written.
    pub(crate) fn line_of(&self, path: &FieldPath) -> u32 {
        let mut node = self;
        let mut line = self.line;
        for segment in path.segments() {
            let next = match segment {
                Segment::Field(name) => node.entry(name),
                Segment::Key(key) => node.entry(key),
                Segment::Index(index) => {
                    let Value::List(items) = &node.value else { break };
                    let Some(item) = items.get(*index) else { break };
                    (node, line) = (item, item.line);
                    continue;
                }
            };
            // The API server reports a template's labels at `spec.template.labels` and a node's taints at `metadata.taints`;
            // they are written in the template's `metadata` and in the node's `spec`.
            let next = next.or_else(|| match segment {
                Segment::Field(name) if name == "taints" => {
                    self.get("spec").and_then(|spec| spec.entry(name))
                }
                Segment::Field(name) => node.get("metadata").and_then(|metadata| metadata.entry(name)),
                _ => None,
            });
            let Some(entry) = next else { break };
            (node, line) = (&entry.node, entry.line);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(line: u32) -> Node {
        Node { line, value: Value::Int(1) }
    }

    fn map(line: u32, entries: Vec<(&str, Node)>) -> Node {
        let entries = entries
            .into_iter()
            .map(|(key, node)| Entry { key: key.to_owned(), line: node.line, node })
            .collect();
        Node { line, value: Value::Map(entries) }
    }

    #[test]
    fn a_field_that_is_not_written_has_the_line_of_its_nearest_parent() {
        let list = Node { line: 3, value: Value::List(vec![map(4, vec![("name", leaf(4))])]) };
        let document = map(1, vec![("spec", map(2, vec![("containers", list)]))]);
        for (path, line) in [
            (FieldPath::root(), 1),
            (FieldPath::new("spec.containers").index(0).child("name"), 4),
            (FieldPath::new("spec.containers").index(0).child("image"), 4),
            (FieldPath::new("spec.containers").index(7), 3),
            (FieldPath::new("spec.selector.matchLabels"), 2),
            (FieldPath::new("status"), 1),
        ] {
            assert_eq!(document.line_of(&path), line, "{path}");
        }
    }

    #[test]
    fn a_template_s_labels_are_found_inside_its_metadata() {
        let metadata = map(3, vec![("labels", leaf(4))]);
        let document = map(1, vec![("spec", map(2, vec![("metadata", metadata)]))]);
        assert_eq!(document.line_of(&FieldPath::new("spec.labels")), 4);
    }
}
