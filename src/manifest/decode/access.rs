//! The readers of lists and maps: they hand each value on with its path and line.

use std::cell::RefCell;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess};

use super::Findings;
use super::reader::{Fatal, Reader, Step};
use crate::manifest::path::Segment;
use crate::manifest::tree::{Entry, Node};

pub(super) struct Items<'de, 'p> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
    parent: &'p Step<'p>,
    findings: &'p RefCell<Findings>,
}

impl<'de, 'p> Items<'de, 'p> {
    pub(super) fn new(items: &'de [Node], parent: &'p Step<'p>, findings: &'p RefCell<Findings>) -> Self {
        Items { items: items.iter().enumerate(), parent, findings }
    }
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Fatal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fatal> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        let step = Step::Inside { parent: self.parent, segment: Segment::Index(index), line: node.line };
        seed.deserialize(Reader::new(node, &step, self.findings)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

pub(super) struct Pairs<'de, 'p> {
    entries: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
    segment: fn(String) -> Segment,
    parent: &'p Step<'p>,
    findings: &'p RefCell<Findings>,
}

impl<'de, 'p> Pairs<'de, 'p> {
    pub(super) fn new(
        entries: &'de [Entry],
        segment: fn(String) -> Segment,
        parent: &'p Step<'p>,
        findings: &'p RefCell<Findings>,
    ) -> Self {
        Pairs { entries: entries.iter(), current: None, segment, parent, findings }
    }
}

impl<'de> MapAccess<'de> for Pairs<'de, '_> {
    type Error = Fatal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fatal> {
        self.current = self.entries.next();
        let Some(entry) = self.current else { return Ok(None) };
        let key: StrDeserializer<'_, Fatal> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fatal> {
        let Some(entry) = self.current else {
            return Err(serde::de::Error::custom("a value was asked for before its key"));
        };
        let segment = (self.segment)(entry.key.clone());
        let step = Step::Inside { parent: self.parent, segment, line: entry.line };
        seed.deserialize(Reader::new(&entry.node, &step, self.findings))
    }
}
