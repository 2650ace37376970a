//! The table of results: each row with its goal, what was measured, and how far that is from the goal.

use std::fmt::Write as _;

/// What a row's figures are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Megabytes,
    Milliseconds,
    PercentOfCore,
    PerMinute,
    /// Of something whole.
    Count,
    /// Of the same done by hand.
    Ratio,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Megabytes => " MB",
            Self::Milliseconds => " ms",
            Self::PercentOfCore => " % of a core",
            Self::PerMinute => " a minute",
            Self::Count => "",
            Self::Ratio => " ×",
        }
    }
}

/// The most that a row should come to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    limit: Option<f64>,
    unit: Unit,
}

impl Goal {
    pub(crate) fn at_most(limit: f64, unit: Unit) -> Self {
        Self { limit: Some(limit), unit }
    }

    /// Measured for the record.
    pub(crate) fn none(unit: Unit) -> Self {
        Self { limit: None, unit }
    }
}

#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    goal: Goal,
    measured: Vec<f64>,
    kubelet: Vec<f64>,
    remark: Option<String>,
}

impl Row {
    pub(crate) fn new(what: &str, goal: Goal) -> Self {
        Self { what: what.to_owned(), goal, measured: Vec::new(), kubelet: Vec::new(), remark: None }
    }

    pub(crate) fn measured(mut self, values: impl Into<Vec<f64>>) -> Self {
        self.measured = values.into();
        self
    }

    pub(crate) fn kubelet(mut self, values: Option<Vec<f64>>) -> Self {
        self.kubelet = values.unwrap_or_default();
        self
    }

    /// Says why a row has no values.
    pub(crate) fn skipped(mut self, why: &str) -> Self {
        self.remark = Some(format!("SKIPPED: {why}"));
        self
    }

    fn cells(&self) -> [String; 5] {
        let unit = self.goal.unit;
        let goal = self.goal.limit.map_or("–".to_owned(), |limit| format!("≤ {limit}{}", unit.name()));
        let measured = match (&self.remark, median(&self.measured)) {
            (Some(remark), _) => remark.clone(),
            (None, Some(median)) => format!("{}{}", figure(median), unit.name()),
            (None, None) => "–".to_owned(),
        };
        let ratio = match (median(&self.measured), self.goal.limit) {
            (Some(median), Some(limit)) => {
                let verdict = if median <= limit { "met" } else { "MISSED" };
                format!("{:.2} {verdict}", median / limit)
            }
            _ => "–".to_owned(),
        };
        let kubelet = median(&self.kubelet)
            .map_or("–".to_owned(), |median| format!("{}{}", figure(median), unit.name()));
        [goal, measured, spread(&self.measured), ratio, kubelet]
    }
}

#[derive(Debug)]
pub(crate) struct Table {
    machine: Vec<String>,
    rows: Vec<Row>,
}

const HEADS: [&str; 6] = ["", "goal", "measured", "min – max (n)", "of the goal", "kubelet"];

impl Table {
    pub(crate) fn new(machine: Vec<String>) -> Self {
        Self { machine, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds the same rows of two agents, each beside the other.
    pub(crate) fn add_beside(&mut self, ours: Vec<Row>, theirs: Option<Vec<Row>>) {
        let mut theirs = theirs.unwrap_or_default().into_iter().map(|row| row.measured);
        self.rows.extend(ours.into_iter().map(|row| row.kubelet(theirs.next())));
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let lines = self.lines();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
        let mut text = self.machine.join("\n");
        text.push('\n');
        for line in &lines {
            text.push('\n');
            for (cell, width) in line.iter().zip(&widths) {
                let _ = write!(text, "{cell:width$}  ");
            }
            text.truncate(text.trim_end().len());
        }
        text
    }

    /// For a document.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("- {}\n", self.machine.join("\n- "));
        for (index, line) in self.lines().iter().enumerate() {
            let _ = write!(text, "\n| {} |", line.join(" | "));
            if index == 0 {
                let _ = write!(text, "\n|{}", "---|".repeat(HEADS.len()));
            }
        }
        text.push('\n');
        text
    }

    fn lines(&self) -> Vec<[String; 6]> {
        let rows = self.rows.iter().map(|row| {
            let [goal, measured, spread, ratio, kubelet] = row.cells();
            [row.what.clone(), goal, measured, spread, ratio, kubelet]
        });
        std::iter::once(HEADS.map(str::to_owned)).chain(rows).collect()
    }
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], upper) } else { upper })
}

fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().min_by(f64::total_cmp);
    let most = values.iter().copied().max_by(f64::total_cmp);
    match (least, most) {
        (Some(least), Some(most)) if values.len() > 1 => {
            format!("{} – {} ({})", figure(least), figure(most), values.len())
        }
        _ => String::new(),
    }
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
