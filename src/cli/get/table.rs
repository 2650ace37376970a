//! Rows for people, from the table that the API sends.
//!
//! Rule: `TablePrinter` in cli-runtime's `pkg/printers/tableprinter.go`: a cell ends at its first line break.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use crate::api::table::{Cell, format_labels};
use crate::cli::text::TabWriter;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Table {
    #[serde(default)]
    column_definitions: Vec<Column>,
    #[serde(default)]
    pub(super) rows: Vec<Row>,
}

#[derive(Debug, Clone, Deserialize)]
struct Column {
    name: String,
    format: String,
    priority: i32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Row {
    cells: Vec<Cell>,
    object: Option<RowObject>,
}

#[derive(Debug, Deserialize)]
struct RowObject {
    metadata: ObjectMeta,
}

impl Table {
    /// Tables of one kind as one.
    pub(super) fn joined(tables: Vec<Table>) -> Option<Table> {
        tables.into_iter().reduce(|mut all, table| {
            all.rows.extend(table.rows);
            all
        })
    }
}

/// Prints tables one below the other, the head once.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct TablePrinter {
    pub(super) is_wide: bool,
    pub(super) has_headers: bool,
    pub(super) has_namespace: bool,
    pub(super) has_labels: bool,
    /// Set before each name, where several kinds are shown.
    pub(super) kind: Option<String>,
    pub(super) columns: Columns,
}

/// What is kept from one table to the next: in a watch only the first names its columns.
#[derive(Debug)]
pub(super) struct Columns {
    known: Vec<Column>,
    writer: TabWriter,
}

impl Default for TablePrinter {
    fn default() -> Self {
        Self {
            is_wide: false,
            has_headers: true,
            has_namespace: false,
            has_labels: false,
            kind: None,
            columns: Columns { known: Vec::new(), writer: TabWriter::for_tables() },
        }
    }
}

impl TablePrinter {
    /// The rows of a table, after the head if it has not been printed yet. A table without rows prints nothing.
    pub(super) fn print(&mut self, table: &Table) -> String {
        if table.rows.is_empty() {
            return String::new();
        }
        let mut text = String::new();
        if self.columns.known.is_empty() {
            self.columns.known.clone_from(&table.column_definitions);
            if self.has_headers {
                let heads = self.shown().map(|(_, column)| column.name.to_uppercase()).collect();
                text.push_str(&self.line("NAMESPACE".to_owned(), heads, "LABELS".to_owned()));
            }
        }
        for row in &table.rows {
            let metadata = row.object.as_ref().map(|object| &object.metadata);
            let namespace = metadata.and_then(|metadata| metadata.namespace.clone()).unwrap_or_default();
            let labels = format_labels(metadata.and_then(|metadata| metadata.labels.as_ref()));
            let cells = self.shown().map(|(index, column)| self.cell(row.cells.get(index), column)).collect();
            text.push_str(&self.line(namespace, cells, labels));
        }
        self.columns.writer.align(&text)
    }

    fn shown(&self) -> impl Iterator<Item = (usize, &Column)> {
        let columns = self.columns.known.iter().enumerate();
        columns.filter(|(_, column)| column.priority == 0 || self.is_wide)
    }

    fn cell(&self, cell: Option<&Cell>, column: &Column) -> String {
        let text = match cell {
            Some(Cell::Number(number)) => number.to_string(),
            Some(Cell::Text(text)) => first_line(text),
            None => String::new(),
        };
        match &self.kind {
            Some(kind) if column.format == "name" => format!("{kind}/{text}"),
            _ => text,
        }
    }

    fn line(&self, namespace: String, cells: Vec<String>, labels: String) -> String {
        let namespace = Some(namespace).filter(|_| self.has_namespace);
        let labels = Some(labels).filter(|_| self.has_labels);
        let all: Vec<String> = namespace.into_iter().chain(cells).chain(labels).collect();
        all.join("\t") + "\n"
    }
}

/// A cell's first line, with a mark if there are more; tabs would break the columns.
fn first_line(text: &str) -> String {
    let text = text.replace('\t', " ");
    match text.find(['\n', '\r', '\x0c']) {
        Some(end) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_ends_at_its_first_line_break() {
        assert_eq!(first_line("one\ntwo"), "one...");
        assert_eq!(first_line("a\tb"), "a b");
    }
}
