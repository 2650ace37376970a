//! The pages of `docs` that can be held to the source are: `fields.md` has every field of a DaemonSet, and what is said there and in
//! `security.md` can be looked up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod page;
mod source;
mod walk;

use k8s_openapi::api::apps::v1::DaemonSetSpec;

use page::{Fate, Page, Row};
use source::Source;

const PAGE: &str = include_str!("../../docs/fields.md");
const SECURITY: &str = include_str!("../../docs/security.md");

#[test]
fn the_page_has_every_field_of_a_daemon_set_and_no_other() {
    let (page, mut problems) = page::read(PAGE);
    let types = walk::types_of::<DaemonSetSpec>();
    assert!(types["PodSpec"].contains_key("containers"), "the walk reaches pods");
    for (name, fields) in &types {
        let Some(section) = page.get(*name) else {
            problems.push(format!("{name} has no section"));
            continue;
        };
        let missing = fields.keys().filter(|field| !section.contains_key(**field));
        problems.extend(missing.map(|field| format!("{name}.{field} is missing")));
        let unknown = section.keys().filter(|field| !fields.contains_key(field.as_str()));
        problems.extend(unknown.map(|field| format!("{name}.{field} is no field")));
    }
    let unknown = page.keys().filter(|name| !types.contains_key(name.as_str()));
    problems.extend(unknown.map(|name| format!("{name} is no type of a DaemonSet")));
    assert!(problems.is_empty(), "docs/fields.md:\n{}", problems.join("\n"));
}

#[test]
fn what_the_page_says_is_in_the_source() {
    let (page, _) = page::read(PAGE);
    let source = Source::read();
    let rows = page.iter().flat_map(|(name, fields)| fields.iter().map(move |row| (name, row)));
    let problems: Vec<String> = rows
        .flat_map(|(name, (field, row))| {
            let told = check(field, row, &page, &source);
            told.into_iter().map(move |problem| format!("{name}.{field}: {problem}"))
        })
        .collect();
    assert!(problems.is_empty(), "docs/fields.md:\n{}", problems.join("\n"));
}

#[test]
fn each_claim_about_security_names_tests_that_there_are() {
    let source = Source::read();
    let named: Vec<&str> = page::spans(SECURITY).filter(|span| span.contains("::")).collect();
    assert!(named.len() > 30, "the page's form has changed");
    let missing: Vec<_> = named.iter().filter(|test| !source.tests.contains_key(**test)).collect();
    assert!(missing.is_empty(), "docs/security.md names tests that there are not: {missing:#?}");
    let rows = SECURITY.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() == 1);
    let bare: Vec<_> = rows.filter(|row| !row.contains("::") && !row.ends_with("| tests |")).collect();
    assert!(bare.is_empty(), "these claims name no test: {bare:#?}");
}

/// What is wrong with the row.
fn check(field: &str, row: &Row, page: &Page, source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(parent) = row.text.strip_prefix("refused with ") {
        let parent = page::spans(parent).next().and_then(|parent| parent.split_once('.'));
        let above = parent.and_then(|(name, field)| page.get(name)?.get(field));
        if above.is_none_or(|above| above.fate != Fate::Refused) {
            problems.push("the field it is refused with is not refused".to_owned());
        }
        return problems;
    }
    if row.fate == Fate::Refused {
        let messages: Vec<_> = page::spans(&row.text).collect();
        if messages.is_empty() {
            problems.push("the message is missing".to_owned());
        }
        let unknown = messages.into_iter().filter(|message| !source.code.contains(message));
        problems.extend(unknown.map(|message| format!("nothing says `{message}`")));
    }
    if row.fate != Fate::WithoutMeaning && row.tests.is_empty() {
        problems.push("no test is named".to_owned());
    }
    let missing = row.tests.iter().filter(|test| !source.tests.contains_key(*test));
    problems.extend(missing.map(|test| format!("there is no test {test}")));
    let mut texts = row.tests.iter().filter_map(|test| source.tests.get(test));
    if row.fate != Fate::WithoutMeaning && !texts.any(|text| speaks_of(text, field)) {
        problems.push("none of the tests speaks of the field".to_owned());
    }
    problems
}

/// Whether the text has the field's name, as it stands in a manifest or in the types.
fn speaks_of(text: &str, field: &str) -> bool {
    let mut in_rust = String::new();
    let mut after_lower = false;
    for letter in field.chars() {
        if letter.is_ascii_uppercase() && after_lower {
            in_rust.push('_');
        }
        after_lower = letter.is_ascii_lowercase();
        in_rust.push(letter.to_ascii_lowercase());
    }
    text.contains(field) || text.contains(in_rust.as_str())
}
