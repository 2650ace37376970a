//! YAML (and with it JSON) text to a located tree.
//!
//! Built from parser events rather than through serde: only they tell a quoted scalar from a plain one and where a key is
//! written. Kubernetes' reader rules hold: merge keys take effect where they stand, a key written twice counts the last
//! time, keys are strings. Aliases are copied, and what the copies may cost is bounded, so that no document can blow up.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use thiserror::Error;

use super::path::{FieldPath, Segment};
use super::scalar;
use super::tree::{Entry, Node, Value};

/// How deep collections may nest, aliases followed. No Kubernetes object comes near.
const MAX_DEPTH: usize = 128;
/// How many values a document may hold.
const MAX_NODES: usize = 1_000_000;
/// What aliases and anchors may add to a document, in bytes.
const MAX_COPIED: usize = 8 << 20;
/// So many keys that are written twice are told.
const MAX_DUPLICATES: usize = 1000;
/// What a value costs beside its text.
const NODE_COST: usize = 64;

/// A document that is well-formed YAML.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its content.
    pub(crate) root: Node,
    /// Keys that are written twice in one map, each with the line of the later one.
    pub(crate) duplicates: Vec<(FieldPath, u32)>,
}

/// Why a text is no document.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub(crate) struct SyntaxError {
    /// The line, counted from 1 in the file.
    pub(crate) line: u32,
    /// What is wrong there.
    pub(crate) message: String,
}

/// Reads a text whose first line is line `first_line` of its file. A text with `...` in it may hold several documents; those
/// before an error are good.
pub(crate) fn parse(text: &str, first_line: u32) -> (Vec<Document>, Option<SyntaxError>) {
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        first_line,
        anchors: HashMap::new(),
        nodes: 0,
        copied: 0,
        path: Vec::new(),
        duplicates: Vec::new(),
    };
    let mut documents = Vec::new();
    loop {
        match builder.document() {
            Ok(Some(document)) => documents.push(document),
            Ok(None) => return (documents, None),
            Err(error) => return (documents, Some(error)),
        }
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    first_line: u32,
    anchors: HashMap<usize, Built>,
    nodes: usize,
    copied: usize,
    path: Vec<Segment>,
    duplicates: Vec<(FieldPath, u32)>,
}

/// A finished value with what a copy of it costs.
#[derive(Clone)]
struct Built {
    node: Node,
    cost: usize,
    height: usize,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Option<Document>, SyntaxError> {
        loop {
            let Some((event, span)) = self.next()? else { return Ok(None) };
            match event {
                Event::StreamEnd => return Ok(None),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => {
                    self.anchors.clear();
                    let root = self.value(event, span, 1)?.node;
                    let duplicates = std::mem::take(&mut self.duplicates);
                    return Ok(Some(Document { root, duplicates }));
                }
            }
        }
    }

    /// The next event that says something about the content.
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, SyntaxError> {
        loop {
            match self.parser.next_event() {
                None => return Ok(None),
                Some(Ok((Event::Comment(..) | Event::Anchor(..), _))) => {}
                Some(Ok(event)) => return Ok(Some(event)),
                Some(Err(error)) => {
                    return Err(self.error(error.marker().line(), error.info()));
                }
            }
        }
    }

    fn within(&mut self) -> Result<(Event<'a>, Span), SyntaxError> {
        self.next()?.ok_or_else(|| self.error(1, "the document ends too early"))
    }

    fn line(&self, line_of_text: usize) -> u32 {
        let offset = u32::try_from(line_of_text.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_line.saturating_add(offset)
    }

    fn error(&self, line_of_text: usize, message: impl Into<String>) -> SyntaxError {
        SyntaxError { line: self.line(line_of_text), message: message.into() }
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Built, SyntaxError> {
        let at = span.start.line();
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.error(at, format!("more than {MAX_NODES} values in one document")));
        }
        if depth > MAX_DEPTH {
            return Err(self.error(at, format!("values are nested more than {MAX_DEPTH} deep")));
        }
        let (built, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), at)?;
                (Built { node: self.node(at, value), cost: NODE_COST + text.len(), height: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(at, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(at, depth)?, anchor),
            Event::Alias(id) => return self.alias(id, at, depth),
            _ => return Err(self.error(at, "a value is missing here")),
        };
        if anchor != 0 {
            self.charge(built.cost, at)?;
            self.anchors.insert(anchor, built.clone());
        }
        Ok(built)
    }

    fn node(&self, line_of_text: usize, value: Value) -> Node {
        Node { line: self.line(line_of_text), value }
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: usize,
    ) -> Result<Value, SyntaxError> {
        let value = match tag.and_then(Tag::core_suffix) {
            Some(tag) => scalar::tagged(tag, text)
                .ok_or_else(|| self.error(at, format!("cannot decode {text:?} as a !!{tag}")))?,
            None if style == ScalarStyle::Plain => scalar::plain(text),
            None => Value::String(text.to_owned()),
        };
        match value {
            Value::Float(float) if !float.is_finite() => {
                Err(self.error(at, format!("{text} has no form in JSON: put it in quotes if it is a text")))
            }
            value => Ok(value),
        }
    }

    fn list(&mut self, at: usize, depth: usize) -> Result<Built, SyntaxError> {
        let mut items = Vec::new();
        let (mut cost, mut height) = (NODE_COST, 0);
        loop {
            let (event, span) = self.within()?;
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            self.path.push(Segment::Index(items.len()));
            let item = self.value(event, span, depth + 1)?;
            self.path.pop();
            cost += item.cost;
            height = height.max(item.height);
            items.push(item.node);
        }
        Ok(Built { node: self.node(at, Value::List(items)), cost, height: height + 1 })
    }

    fn map(&mut self, at: usize, depth: usize) -> Result<Built, SyntaxError> {
        let mut entries = Entries::default();
        let (mut cost, mut height) = (NODE_COST, 0);
        loop {
            let (event, span) = self.within()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key_at = span.start.line();
            let merges = is_merge(&event);
            let key = match self.value(event, span, depth + 1)?.node.value {
                _ if merges => "<<".to_owned(),
                value => scalar::key(value)
                    .ok_or_else(|| self.error(key_at, "a key must be a string, a number or a boolean"))?,
            };
            let (event, span) = self.within()?;
            self.path.push(Segment::Field(key.clone().into()));
            let value = self.value(event, span, depth + 1)?;
            self.path.pop();
            cost += key.len() + value.cost;
            height = height.max(value.height);
            if merges {
                for entry in Self::merged(value.node)? {
                    entries.put(entry, Written::Merged);
                }
            } else {
                let line = self.line(key_at);
                let entry = Entry { key, line, node: value.node };
                if let Some(key) = entries.put(entry, Written::Here)
                    && self.duplicates.len() < MAX_DUPLICATES
                {
                    let path = self.path.iter().cloned().collect::<FieldPath>();
                    self.duplicates.push((path.with(Segment::Field(key.into())), line));
                }
            }
        }
        Ok(Built { node: self.node(at, Value::Map(entries.list)), cost, height: height + 1 })
    }

    /// The entries that a merge key brings, in the order in which they take effect: of several maps, an earlier one rules.
    fn merged(node: Node) -> Result<Vec<Entry>, SyntaxError> {
        let line = node.line;
        let maps = match node.value {
            Value::List(maps) => maps,
            value => vec![Node { line, value }],
        };
        let mut entries = Vec::new();
        for map in maps.into_iter().rev() {
            let Value::Map(more) = map.value else {
                let message = "a merge key (<<) needs a map or a list of maps".to_owned();
                return Err(SyntaxError { line, message });
            };
            entries.extend(more);
        }
        Ok(entries)
    }

    fn alias(&mut self, id: usize, at: usize, depth: usize) -> Result<Built, SyntaxError> {
        let Some(anchor) = self.anchors.get(&id) else {
            return Err(self.error(at, "an anchor's value contains itself"));
        };
        let (cost, height) = (anchor.cost, anchor.height);
        if depth + height > MAX_DEPTH {
            return Err(self.error(at, format!("aliases nest values more than {MAX_DEPTH} deep")));
        }
        self.charge(cost, at)?;
        match self.anchors.get(&id) {
            Some(anchor) => Ok(anchor.clone()),
            None => Err(self.error(at, "an alias has no anchor")),
        }
    }

    fn charge(&mut self, cost: usize, at: usize) -> Result<(), SyntaxError> {
        self.copied += cost;
        if self.copied > MAX_COPIED {
            let limit = MAX_COPIED >> 20;
            return Err(self.error(at, format!("aliases expand the document by more than {limit} MiB")));
        }
        Ok(())
    }
}

fn is_merge(event: &Event<'_>) -> bool {
    match event {
        Event::Scalar(text, style, _, None) => text == "<<" && *style == ScalarStyle::Plain,
        Event::Scalar(text, _, _, Some(tag)) => {
            text == "<<" && tag.suffix_in_namespace("tag:yaml.org,2002:").as_deref() == Some("merge")
        }
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Written {
    Here,
    Merged,
}

/// A map under construction: the last writing of a key rules and keeps the first one's place.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    places: HashMap<String, (usize, Written)>,
}

impl Entries {
    /// Returns the key if it was written in this very map before.
    fn put(&mut self, entry: Entry, written: Written) -> Option<String> {
        match self.places.get_mut(&entry.key) {
            None => {
                self.places.insert(entry.key.clone(), (self.list.len(), written));
                self.list.push(entry);
                None
            }
            Some((place, before)) => {
                let twice = (*before == Written::Here && written == Written::Here).then(|| entry.key.clone());
                *before = written;
                if let Some(slot) = self.list.get_mut(*place) {
                    *slot = entry;
                }
                twice
            }
        }
    }
}

#[cfg(test)]
mod tests;
