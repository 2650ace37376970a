//! Which objects are meant: `labelSelector` and `fieldSelector`.

mod field;
mod label;

pub use field::{FieldSelector, FieldSelectorError};
pub use label::{LabelSelector, LabelSelectorError};

use crate::board::Item;

/// Both selectors of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selector {
    /// Which labels the objects must have.
    pub labels: LabelSelector,
    /// Which fields the objects must have.
    pub fields: FieldSelector,
}

impl Selector {
    /// Whether everything is meant.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether this object is meant.
    pub fn matches(&self, item: &Item) -> bool {
        self.labels.matches(item.metadata().labels.as_ref()) && self.fields.matches(item)
    }
}
