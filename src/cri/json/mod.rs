//! CRI messages as JSON: the proto's field names, defaults left out, 64-bit integers as strings, enums as names.
//!
//! For people and golden tests only (`daemonlet plan`). The agent itself never loads the schema: it is parsed when a
//! [`Printer`] is made and freed with it. A message is printed from its encoded form, so exactly what would be sent is shown.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::encoding::{WireType, decode_key, decode_varint};
use prost::{DecodeError, Message, Name};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde_json::{Map, Value};

/// The description of `proto/cri/v1/cri.proto`, as `build.rs` left it.
const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cri.descriptor.bin"));

/// Why a message could not be printed; a bug in daemonlet whenever it happens.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The encoded message or the schema is broken.
    #[error("cannot read the encoding of a CRI message")]
    Encoding(#[from] DecodeError),
    /// The schema has no such message.
    #[error("the CRI schema does not describe {0}")]
    Unknown(String),
    /// The field's type is one that the CRI slice did not use when this was written.
    #[error("the CRI field {0} has a type that cannot be printed")]
    Unprintable(String),
}

/// The schema, ready to print any message of [`super::proto`].
#[derive(Debug)]
pub struct Printer {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, EnumDescriptorProto>,
}

impl Printer {
    /// Parses the built-in schema.
    pub fn new() -> Result<Self, JsonError> {
        let mut printer = Self { messages: BTreeMap::new(), enums: BTreeMap::new() };
        for file in FileDescriptorSet::decode(DESCRIPTOR)?.file {
            let scope = format!(".{}", file.package());
            printer.add(&scope, file.message_type, file.enum_type);
        }
        Ok(printer)
    }

    fn add(&mut self, scope: &str, messages: Vec<DescriptorProto>, enums: Vec<EnumDescriptorProto>) {
        for each in enums {
            self.enums.insert(format!("{scope}.{}", each.name()), each);
        }
        for mut each in messages {
            let name = format!("{scope}.{}", each.name());
            self.add(&name, std::mem::take(&mut each.nested_type), std::mem::take(&mut each.enum_type));
            self.messages.insert(name, each);
        }
    }

    /// The message as a JSON object.
    pub fn print<M: Message + Name>(&self, message: &M) -> Result<Value, JsonError> {
        self.object(&format!(".{}", M::full_name()), &message.encode_to_vec()).map(Value::Object)
    }

    fn object(&self, name: &str, mut bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
        let message = self.messages.get(name).ok_or_else(|| JsonError::Unknown(name.into()))?;
        let mut object = Map::new();
        while !bytes.is_empty() {
            let (number, wire) = decode_key(&mut bytes)?;
            let field = message
                .field
                .iter()
                .find(|f| u32::try_from(f.number()) == Ok(number))
                .ok_or_else(|| JsonError::Unknown(format!("field {number} of {name}")))?;
            let raw = Raw::read(wire, &mut bytes, field)?;
            self.put(&mut object, field, raw)?;
        }
        Ok(object)
    }

    /// Adds one occurrence of a field: sets it, or extends its list or map.
    fn put(
        &self,
        object: &mut Map<String, Value>,
        field: &FieldDescriptorProto,
        raw: Raw,
    ) -> Result<(), JsonError> {
        if field.label() != Label::Repeated {
            object.insert(field.name().to_owned(), self.value(field, raw)?);
            return Ok(());
        }
        if let (Some(entry), Raw::Bytes(bytes)) = (self.map_entry(field), raw) {
            let mut pair = self.object(entry, bytes)?;
            let key = match pair.remove("key") {
                Some(Value::String(key)) => key,
                _ => String::new(),
            };
            let value = pair.remove("value").unwrap_or_else(|| Value::String(String::new()));
            let map = object.entry(field.name()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(map) = map {
                map.insert(key, value);
            }
            return Ok(());
        }
        let mut values = Vec::new();
        match raw {
            Raw::Bytes(mut packed) if is_packable(field.r#type()) => {
                while !packed.is_empty() {
                    values.push(self.value(field, Raw::Varint(decode_varint(&mut packed)?))?);
                }
            }
            raw => values.push(self.value(field, raw)?),
        }
        let list = object.entry(field.name()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.append(&mut values);
        }
        Ok(())
    }

    /// The type of a map field's entries; all maps of the CRI are from string to string.
    fn map_entry<'f>(&self, field: &'f FieldDescriptorProto) -> Option<&'f str> {
        let entry = self.messages.get(field.type_name())?;
        entry.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry).then(|| field.type_name())
    }

    fn value(&self, field: &FieldDescriptorProto, raw: Raw) -> Result<Value, JsonError> {
        let unprintable = || JsonError::Unprintable(field.name().to_owned());
        Ok(match (field.r#type(), raw) {
            (Type::Message, Raw::Bytes(bytes)) => Value::Object(self.object(field.type_name(), bytes)?),
            (Type::String, Raw::Bytes(bytes)) => String::from_utf8_lossy(bytes).into(),
            (Type::Bytes, Raw::Bytes(bytes)) => STANDARD.encode(bytes).into(),
            (Type::Bool, Raw::Varint(n)) => (n != 0).into(),
            // Protobuf sign-extends 32-bit numbers to 64 bits, so the bits are reinterpreted, not converted.
            (Type::Int32, Raw::Varint(n)) => n.cast_signed().into(),
            (Type::Uint32, Raw::Varint(n)) => n.into(),
            (Type::Int64, Raw::Varint(n)) => n.cast_signed().to_string().into(),
            (Type::Uint64, Raw::Varint(n)) => n.to_string().into(),
            (Type::Enum, Raw::Varint(n)) => {
                let number = n.cast_signed();
                let known = self
                    .enums
                    .get(field.type_name())
                    .and_then(|e| e.value.iter().find(|v| i64::from(v.number()) == number));
                // A number without a name prints as the number, as proto3 JSON has it.
                known.map_or_else(|| number.into(), |v| v.name().into())
            }
            _ => return Err(unprintable()),
        })
    }
}

/// A field's encoded value.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    fn read(wire: WireType, bytes: &mut &'a [u8], field: &FieldDescriptorProto) -> Result<Self, JsonError> {
        let broken = || JsonError::Unprintable(field.name().to_owned());
        match wire {
            WireType::Varint => Ok(Self::Varint(decode_varint(bytes)?)),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(bytes)?).map_err(|_| broken())?;
                let (value, rest) = bytes.split_at_checked(length).ok_or_else(broken)?;
                *bytes = rest;
                Ok(Self::Bytes(value))
            }
            _ => Err(broken()),
        }
    }
}

fn is_packable(kind: Type) -> bool {
    !matches!(kind, Type::Message | Type::String | Type::Bytes | Type::Group)
}

#[cfg(test)]
mod tests;
