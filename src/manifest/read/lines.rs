//! Where in a file the fields of its objects are, for what is found out about them only later, when all objects are known.

use super::document::key_of;
use super::text_of;
use crate::manifest::tree::{Node, Value};
use crate::manifest::{FieldPath, ObjectKey, Stored, split, yaml};

/// The documents of a file, read once more for their lines.
#[derive(Debug, Default)]
pub struct Lines(Vec<Node>);

impl Lines {
    /// The lines of a file. One that can't be read has none.
    pub fn of(bytes: &[u8]) -> Self {
        let chunks = text_of(bytes).map(split::documents).unwrap_or_default();
        let documents = chunks.iter().flat_map(|chunk| yaml::parse(chunk.text, chunk.line).0);
        Self(documents.map(|document| document.root).collect())
    }

    /// The line of a field of an object, or of its nearest parent that is written; the object's own where the file has changed.
    pub fn line_of(&self, stored: &Stored, path: &FieldPath) -> u32 {
        let key = stored.object.key();
        let found = self.0.iter().find_map(|root| find(root, &key, stored.origin.line));
        found.map_or(stored.origin.line, |object| object.line_of(path))
    }
}

/// The object in a document or in the list that the document is.
fn find<'a>(node: &'a Node, key: &ObjectKey, line: u32) -> Option<&'a Node> {
    if let Some(Value::List(items)) = node.get("items").map(|items| &items.value) {
        return items.iter().find_map(|item| find(item, key, line));
    }
    // An item of a typed list need not say what it is.
    (key_of(node).as_ref() == Some(key) || node.line == line).then_some(node)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::manifest;

    const FILE: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: edge
  labels:
    a: b
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: c}
  data:
    x: z
";

    #[test]
    fn a_field_is_found_in_a_document_and_in_a_list() {
        let reading = manifest::read(Path::new("f.yaml"), FILE.as_bytes());
        let lines = Lines::of(FILE.as_bytes());
        let at = |index: usize, path: FieldPath| lines.line_of(&reading.objects[index], &path);
        assert_eq!(at(0, FieldPath::new("metadata.labels").key("a")), 6);
        assert_eq!(at(0, FieldPath::new("metadata.annotations").key("a")), 3);
        assert_eq!(at(1, FieldPath::new("data").key("x")), 15);
        assert_eq!(Lines::of(b"kind: [").line_of(&reading.objects[1], &FieldPath::new("data")), 11);
    }
}
