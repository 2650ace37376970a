//! `docs/fields.md` as it is read: one section a type, one table row a field or a few that share their fate.

use std::collections::BTreeMap;

/// What daemonlet does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Honoured,
    Refused,
    WithoutMeaning,
}

/// One row of a table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) fate: Fate,
    /// What is said of the field.
    pub(crate) text: String,
    /// The full paths of the tests.
    pub(crate) tests: Vec<String>,
}

/// The fields of each type.
pub(crate) type Page = BTreeMap<String, BTreeMap<String, Row>>;

/// Reads the page, and tells what is wrong with its form.
pub(crate) fn read(page: &str) -> (Page, Vec<String>) {
    let mut types = Page::new();
    let mut problems = Vec::new();
    let mut section = None;
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = Some(heading.trim()).filter(|heading| !heading.contains(' '));
            if let Some(name) = section
                && types.insert(name.to_owned(), BTreeMap::new()).is_some()
            {
                problems.push(format!("{name} has two sections"));
            }
        }
        let (Some(name), true) = (section, line.starts_with("| `")) else { continue };
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let row = match cells.as_slice() {
            [_, text, tests] => row(text, tests),
            _ => None,
        };
        let Some(row) = row else {
            problems.push(format!("{name}: not a row of three cells, the second of them a fate: {line}"));
            continue;
        };
        for field in spans(cells[0]) {
            let fields = types.entry(name.to_owned()).or_default();
            if fields.insert(field.to_owned(), row.clone()).is_some() {
                problems.push(format!("{name}.{field} is there twice"));
            }
        }
    }
    (types, problems)
}

fn row(text: &str, tests: &str) -> Option<Row> {
    let fates =
        [("honoured", Fate::Honoured), ("refused", Fate::Refused), ("no meaning", Fate::WithoutMeaning)];
    let fate = fates.into_iter().find_map(|(word, fate)| text.starts_with(word).then_some(fate))?;
    Some(Row { fate, text: text.to_owned(), tests: spans(tests).map(str::to_owned).collect() })
}

/// The texts between backticks.
pub(crate) fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
