//! Text for people: columns, YAML and JSON as kubectl lays them out.

mod columns;
mod document;

pub(super) use columns::TabWriter;
pub(super) use document::{to_json, to_yaml};
