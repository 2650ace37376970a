//! The reader of one value: what it is, against what the type wants.

use std::cell::RefCell;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{self, Deserializer, Expected, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::access::{Items, Pairs};
use super::{Finding, Findings};
use crate::manifest::path::{FieldPath, Segment};
use crate::manifest::quantity::Quantity;
use crate::manifest::tree::{Node, Value};

/// A fault that a type itself found, which leaves nothing to go on with.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Fatal(String);

impl de::Error for Fatal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fatal(message.to_string())
    }
}

/// The way from the document's root to the value being read, kept on the stack.
pub(super) enum Step<'p> {
    Root,
    Inside { parent: &'p Step<'p>, segment: Segment, line: u32 },
}

impl Step<'_> {
    fn path(&self) -> FieldPath {
        let mut segments = Vec::new();
        let mut step = self;
        while let Step::Inside { parent, segment, .. } = step {
            segments.push(segment.clone());
            step = parent;
        }
        segments.into_iter().rev().collect()
    }
}

#[derive(Clone, Copy)]
pub(super) struct Reader<'de, 'p> {
    node: &'de Node,
    step: &'p Step<'p>,
    findings: &'p RefCell<Findings>,
}

impl<'de, 'p> Reader<'de, 'p> {
    pub(super) fn new(node: &'de Node, step: &'p Step<'p>, findings: &'p RefCell<Findings>) -> Self {
        Reader { node, step, findings }
    }

    fn finding(&self, message: String) -> Finding {
        let line = match self.step {
            Step::Root => self.node.line,
            Step::Inside { line, .. } => *line,
        };
        Finding { path: self.step.path(), line, message }
    }

    pub(super) fn note(&self, message: String) {
        let finding = self.finding(message);
        self.findings.borrow_mut().errors.push(finding);
    }

    pub(super) fn note_unknown(&self) {
        let finding =
            self.finding("unknown field: Kubernetes has no such field here, so it does nothing".to_owned());
        self.findings.borrow_mut().unknown.push(finding);
    }

    /// Notes that a value of another type is due.
    fn mismatch(&self, due: &str) {
        let found = self.node.value.kind();
        let shown = match &self.node.value {
            Value::Bool(flag) => format!("Invalid value: {flag}: "),
            Value::Int(int) => format!("Invalid value: {int}: "),
            Value::Float(float) => format!("Invalid value: {float}: "),
            Value::String(text) => format!("Invalid value: {:?}: ", abridged(text)),
            Value::Null | Value::List(_) | Value::Map(_) => String::new(),
        };
        let remedy = match (&self.node.value, due) {
            (Value::Bool(_), "string") => {
                ": put it in quotes (YAML takes y, n, yes, no, on and off for booleans, too)"
            }
            (Value::Int(_) | Value::Float(_), "string") => ": put it in quotes",
            (Value::String(text), "number") if text.parse::<f64>().is_ok() => ": write it without quotes",
            (Value::String(text), "bool") if text == "true" || text == "false" => ": write it without quotes",
            _ => "",
        };
        self.note(format!("{shown}cannot read {found} as {due}{remedy}"));
    }

    fn integer(&self, range: std::ops::RangeInclusive<i64>) -> i64 {
        match self.node.value {
            Value::Null => 0,
            Value::Int(int) if range.contains(&int) => int,
            Value::Int(int) => {
                let (low, high) = (range.start(), range.end());
                self.note(format!("Invalid value: {int}: must be between {low} and {high}, inclusive"));
                0
            }
            Value::Float(float) => {
                self.note(format!("Invalid value: {float}: must be an integer"));
                0
            }
            _ => {
                self.mismatch("number");
                0
            }
        }
    }

    fn text(&self) -> &'de str {
        match &self.node.value {
            Value::String(text) => text,
            Value::Null => "",
            _ => {
                self.mismatch("string");
                ""
            }
        }
    }

    /// A quantity in its canonical form, as the API server stores it.
    fn quantity(&self) -> String {
        let text = match &self.node.value {
            Value::Null => "0".to_owned(),
            Value::Int(int) => int.to_string(),
            Value::Float(float) => float.to_string(),
            Value::String(text) => text.clone(),
            _ => {
                self.mismatch("quantity");
                "0".to_owned()
            }
        };
        match text.parse::<Quantity>() {
            Ok(quantity) => quantity.to_string(),
            Err(error) => {
                self.note(format!("Invalid value: {:?}: {error}", abridged(&text)));
                "0".to_owned()
            }
        }
    }

    fn time(&self) -> &'de str {
        const EPOCH: &str = "1970-01-01T00:00:00Z";
        let text = self.text();
        if text.is_empty() {
            return EPOCH;
        }
        if text.parse::<k8s_openapi::jiff::Timestamp>().is_err() {
            self.note(format!("Invalid value: {text:?}: must be a time such as 2006-01-02T15:04:05Z"));
            return EPOCH;
        }
        text
    }

    fn base64(&self) -> String {
        let text: String = self.text().chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        match STANDARD.decode(&text) {
            Ok(_) => text,
            Err(error) => {
                // The value may be a secret: it is not shown.
                self.note(format!("must be base64 ({error}); plain text belongs in stringData"));
                String::new()
            }
        }
    }

    fn pairs(&self, keys: fn(String) -> Segment) -> Pairs<'de, 'p> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => {
                self.mismatch("object");
                &[]
            }
        };
        Pairs::new(entries, keys, self.step, self.findings)
    }
}

/// Enough of a text to recognise it.
fn abridged(text: &str) -> &str {
    match text.char_indices().nth(80) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Fatal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fatal> {
        // `IntOrString` announces itself only by what it expects.
        if (&visitor as &dyn Expected).to_string() == "IntOrString" {
            return match &self.node.value {
                Value::String(text) => visitor.visit_str(text),
                _ => visitor.visit_i64(self.integer(i32::MIN.into()..=i32::MAX.into())),
            };
        }
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Int(int) => visitor.visit_i64(*int),
            Value::Float(float) => visitor.visit_f64(*float),
            Value::String(text) => visitor.visit_str(text),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fatal> {
        match name {
            "Quantity" => {
                let text: StringDeserializer<Fatal> = self.quantity().into_deserializer();
                visitor.visit_newtype_struct(text)
            }
            "Time" | "MicroTime" => {
                let text: StrDeserializer<'_, Fatal> = self.time().into_deserializer();
                visitor.visit_newtype_struct(text)
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fatal> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fatal> {
        if (&visitor as &dyn Expected).to_string() == "a base64-encoded string" {
            return visitor.visit_string(self.base64());
        }
        visitor.visit_borrowed_str(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fatal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fatal> {
        match self.node.value {
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::Null => visitor.visit_bool(false),
            _ => {
                self.mismatch("bool");
                visitor.visit_bool(false)
            }
        }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fatal> {
        visitor.visit_i64(self.integer(i32::MIN.into()..=i32::MAX.into()))
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fatal> {
        visitor.visit_i64(self.integer(i64::MIN..=i64::MAX))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fatal> {
        let items = match &self.node.value {
            Value::List(items) => items.as_slice(),
            Value::Null => &[],
            _ => {
                self.mismatch("array");
                &[]
            }
        };
        visitor.visit_seq(Items::new(items, self.step, self.findings))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fatal> {
        visitor.visit_map(self.pairs(Segment::Key))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fatal> {
        visitor.visit_map(self.pairs(|name| Segment::Field(name.into())))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fatal> {
        self.note_unknown();
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
    }
}
