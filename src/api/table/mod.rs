//! Objects as rows, as the API server prints them for `Accept: application/json;as=Table`.
//!
//! Pure: items and `now` in, cells out. Columns and cells are those of Kubernetes'
//! `pkg/printers/internalversion/printers.go`; kubectl shows columns of priority 0 always and the others under `-o wide`.

mod age;
mod cell;
mod daemon_sets;
mod events;
mod nodes;
mod pods;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::board::{Item, ItemKind};

pub use age::{human_duration, since};
pub use cell::{format_label_selector, format_labels};
pub use nodes::roles as node_roles;

/// A column's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// The head as clients show it, in upper case.
    pub name: &'static str,
    /// `string`, `integer` or `date`.
    #[serde(rename = "type")]
    pub data_type: &'static str,
    /// `name` for the object's name.
    pub format: &'static str,
    /// A sentence about the column.
    pub description: &'static str,
    /// 0 for what is always shown, 1 for what only a wide listing shows.
    pub priority: i32,
}

impl Column {
    const NAME: Column = Column {
        name: "Name",
        data_type: "string",
        format: "name",
        description: "Name must be unique within a namespace.",
        priority: 0,
    };
    const AGE: Column = Column::text("Age", "The time since the object was created.");

    const fn text(name: &'static str, description: &'static str) -> Column {
        Column { name, data_type: "string", format: "", description, priority: 0 }
    }

    const fn number(name: &'static str, description: &'static str) -> Column {
        Column { name, data_type: "integer", format: "", description, priority: 0 }
    }

    const fn wide(self) -> Column {
        Column { priority: 1, ..self }
    }
}

/// One value in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A number, for clients that sort.
    Number(i64),
    /// Everything else.
    Text(String),
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<i32> for Cell {
    fn from(number: i32) -> Self {
        Cell::Number(number.into())
    }
}

/// Which part of its object a row carries (`includeObject`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The metadata, which is what kubectl needs for namespaces and labels.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// One object's row.
#[derive(Debug, Serialize)]
pub struct Row {
    cells: Vec<Cell>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<RowObject>,
}

#[derive(Debug)]
enum RowObject {
    Metadata(Item),
    Whole(Item),
}

impl Serialize for RowObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        match self {
            RowObject::Whole(item) => item.serialize(serializer),
            RowObject::Metadata(item) => {
                let mut object = serializer.serialize_struct("PartialObjectMetadata", 3)?;
                object.serialize_field("kind", "PartialObjectMetadata")?;
                object.serialize_field("apiVersion", "meta.k8s.io/v1")?;
                object.serialize_field("metadata", item.metadata())?;
                object.end()
            }
        }
    }
}

impl Row {
    /// The row of an object.
    pub fn new(item: Item, now: Timestamp, include: IncludeObject) -> Self {
        let cells = cells(&item, now);
        let object = match include {
            IncludeObject::None => None,
            IncludeObject::Metadata => Some(RowObject::Metadata(item)),
            IncludeObject::Object => Some(RowObject::Whole(item)),
        };
        Self { cells, object }
    }
}

/// The columns of a kind.
pub const fn columns(kind: ItemKind) -> &'static [Column] {
    match kind {
        ItemKind::DaemonSet => daemon_sets::COLUMNS,
        ItemKind::Event => events::COLUMNS,
        ItemKind::Node => nodes::COLUMNS,
        ItemKind::Pod => pods::COLUMNS,
    }
}

/// The cells of an object, one a column.
pub fn cells(item: &Item, now: Timestamp) -> Vec<Cell> {
    match item {
        Item::DaemonSet(object) => daemon_sets::cells(object, now),
        Item::Event(object) => events::cells(object, now),
        Item::Node(object) => nodes::cells(object, now),
        Item::Pod(object) => pods::cells(object, now),
    }
}
