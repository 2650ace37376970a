//! A description in the making: indented lines, whose tabs become columns.

use std::fmt::{self, Write as _};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::cli::text::TabWriter;

/// Lines, each `level` times two blanks deep. Columns reach over adjacent lines up to the next [`Description::break_columns`].
#[derive(Debug, Default)]
pub(super) struct Description {
    done: String,
    text: String,
}

impl Description {
    /// Writes a line.
    pub(super) fn line(&mut self, level: usize, line: impl fmt::Display) {
        // Writing to a String can't fail.
        let _ = writeln!(self.text, "{:1$}{line}", "", level * 2);
    }

    /// Writes `name:` and its value in the next column.
    pub(super) fn field(&mut self, level: usize, name: impl fmt::Display, value: impl fmt::Display) {
        self.line(level, format_args!("{name}:\t{value}"));
    }

    /// Writes `name:` and its value, if there is one.
    pub(super) fn some(&mut self, level: usize, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.field(level, name, value);
        }
    }

    /// Writes `name:` and one value a line; `<none>` if there are none.
    pub(super) fn values(&mut self, level: usize, name: &str, values: impl IntoIterator<Item = String>) {
        let mut values = values.into_iter();
        self.field(level, name, values.next().as_deref().unwrap_or("<none>"));
        for value in values {
            self.line(0, format_args!("\t{value}"));
        }
    }

    /// Writes a table of conditions with these columns; nothing if there are none.
    pub(super) fn conditions<const COLUMNS: usize>(
        &mut self,
        columns: [&str; COLUMNS],
        conditions: impl IntoIterator<Item = [String; COLUMNS]>,
    ) {
        let mut conditions = conditions.into_iter().peekable();
        if conditions.peek().is_none() {
            return;
        }
        self.line(0, "Conditions:");
        self.line(1, columns.join("\t"));
        self.line(1, columns.map(|column| "-".repeat(column.len())).join("\t"));
        for condition in conditions {
            self.line(1, condition.join(" \t"));
        }
    }

    /// Lines from here on are aligned without regard to those before.
    pub(super) fn break_columns(&mut self) {
        self.done.push_str(&TabWriter::for_descriptions().align(&self.text));
        self.text.clear();
    }

    /// The lines as they were written, with their tabs.
    pub(super) fn with_tabs(self) -> String {
        self.done + &self.text
    }

    /// The description as people read it.
    pub(super) fn finish(mut self) -> String {
        self.break_columns();
        self.done
    }
}

/// A time as `describe` shows it (RFC 1123 with a numeric zone).
pub(super) fn time(time: Option<&Time>) -> String {
    match time {
        Some(time) => time.0.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string(),
        None => "Mon, 01 Jan 0001 00:00:00 +0000".to_owned(),
    }
}

/// `True` or `False`, as kubectl writes a truth.
pub(super) const fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}
