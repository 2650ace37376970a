//! The fields of API types, found by letting them deserialize themselves from a source that has every field.
//!
//! k8s-openapi names a type's fields when it asks for a struct, so nothing has to be listed by hand and nothing can be forgotten.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;

use serde::de::value::{Error, StrDeserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// For each type its fields, in the order of the API, and the type of each if it has fields of its own.
pub(crate) type Types = BTreeMap<&'static str, BTreeMap<&'static str, Option<&'static str>>>;

/// The types that `T` is made of, itself included.
pub(crate) fn types_of<T: for<'de> Deserialize<'de>>() -> Types {
    let found = Found { types: RefCell::default(), last: RefCell::default() };
    if let Err(error) = T::deserialize(Everything { found: &found, text: "0" }) {
        panic!("{}: {error}", std::any::type_name::<T>());
    }
    found.types.into_inner()
}

struct Found {
    types: RefCell<Types>,
    /// The type that was asked for last.
    last: RefCell<Option<&'static str>>,
}

/// A value of whatever type is asked for: one element in each list and map, every field in each struct.
#[derive(Clone, Copy)]
struct Everything<'a> {
    found: &'a Found,
    /// What a text reads.
    text: &'static str,
}

impl<'de> Deserializer<'de> for Everything<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i32(1)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(1)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text = if name.ends_with("Time") { "2000-01-01T00:00:00Z" } else { self.text };
        visitor.visit_newtype_struct(Everything { text, ..self })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Once { value: Some(self) })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Once { value: Some(self) })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // A type that was met before is left empty: that is what ends a recursion.
        let known = self.found.types.borrow_mut().insert(name, BTreeMap::new());
        let value = match known {
            Some(known) => {
                self.found.types.borrow_mut().insert(name, known);
                visitor.visit_map(Fields { of: self, name, rest: &[] })
            }
            None => visitor.visit_map(Fields { of: self, name, rest: fields }),
        };
        *self.found.last.borrow_mut() = Some(name);
        value
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct
        enum identifier ignored_any
    }
}

/// A list with one element, or a map with one entry.
struct Once<'a> {
    value: Option<Everything<'a>>,
}

impl<'de> SeqAccess<'de> for Once<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.value.take().map(|value| seed.deserialize(value)).transpose()
    }
}

impl<'de> MapAccess<'de> for Once<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.value.map(|value| seed.deserialize(value)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.value.take().ok_or_else(|| asked("a second entry"))?)
    }
}

/// All fields of a struct, one after the other.
struct Fields<'a> {
    of: Everything<'a>,
    name: &'static str,
    rest: &'static [&'static str],
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.rest.first() else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(field)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (field, rest) = self.rest.split_first().ok_or_else(|| asked("a value without its key"))?;
        self.rest = rest;
        *self.of.found.last.borrow_mut() = None;
        let value = seed.deserialize(self.of)?;
        let type_ = self.of.found.last.borrow_mut().take();
        self.of.found.types.borrow_mut().entry(self.name).or_default().insert(field, type_);
        Ok(value)
    }
}

fn asked(for_what: impl Display) -> Error {
    serde::de::Error::custom(format_args!("asked for {for_what}"))
}
