//! Label selectors as text: `app=web,tier in (a,b),!canary`.
//!
//! Rule: `Parse` in apimachinery's `pkg/labels/selector.go`. That an absent key satisfies `!=` and `notin` is Kubernetes' own.

use std::collections::BTreeMap;

/// What an object's labels must satisfy: every requirement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Exists,
    DoesNotExist,
    In(Vec<String>),
    NotIn(Vec<String>),
    GreaterThan(i64),
    LessThan(i64),
}

/// Why a text is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelSelectorError {
    /// A requirement has no key where one is due.
    #[error("unable to parse requirement {0:?}: found no label key")]
    NoKey(String),
    /// What follows the key is none of the operators.
    #[error(
        "unable to parse requirement {0:?}: expected one of '=', '==', '!=', 'in (…)', 'notin (…)', '>', '<' or the bare key"
    )]
    Operator(String),
    /// A list of values is not closed.
    #[error("unable to parse requirement {0:?}: expected ')'")]
    Unclosed(String),
    /// `>` and `<` compare whole numbers.
    #[error("unable to parse requirement {0:?}: expected a whole number after '>' or '<'")]
    Number(String),
}

impl LabelSelector {
    /// Reads a selector; the empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, LabelSelectorError> {
        split(text)?.into_iter().map(Requirement::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.and_then(|labels| labels.get(&requirement.key));
            match &requirement.operator {
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
                Operator::In(values) => value.is_some_and(|value| values.contains(value)),
                Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Operator::GreaterThan(than) => as_number(value).is_some_and(|value| value > *than),
                Operator::LessThan(than) => as_number(value).is_some_and(|value| value < *than),
            }
        })
    }
}

fn as_number(value: Option<&String>) -> Option<i64> {
    value?.parse().ok()
}

/// Splits at the commas outside parentheses.
fn split(text: &str) -> Result<Vec<&str>, LabelSelectorError> {
    let mut parts = Vec::new();
    let (mut start, mut is_open) = (0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => is_open = true,
            ')' => is_open = false,
            ',' if !is_open => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if is_open {
        return Err(LabelSelectorError::Unclosed(text[start..].to_owned()));
    }
    parts.push(&text[start..]);
    if parts.len() == 1 && parts[0].trim().is_empty() {
        parts.clear();
    }
    Ok(parts)
}

impl Requirement {
    fn parse(text: &str) -> Result<Self, LabelSelectorError> {
        let trimmed = text.trim();
        if let Some(key) = trimmed.strip_prefix('!') {
            return Ok(Self { key: key_of(key, text)?, operator: Operator::DoesNotExist });
        }
        let end = trimmed.find(|c: char| c.is_whitespace() || "=!<>(".contains(c)).unwrap_or(trimmed.len());
        let (key, rest) = trimmed.split_at(end);
        let key = key_of(key, text)?;
        let operator = operator_of(rest.trim(), text)?;
        Ok(Self { key, operator })
    }
}

fn key_of(key: &str, text: &str) -> Result<String, LabelSelectorError> {
    let key = key.trim();
    let is_plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    if is_plain { Ok(key.to_owned()) } else { Err(LabelSelectorError::NoKey(text.to_owned())) }
}

fn operator_of(rest: &str, text: &str) -> Result<Operator, LabelSelectorError> {
    if rest.is_empty() {
        return Ok(Operator::Exists);
    }
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some(value) = rest.strip_prefix("!=") {
        return Ok(Operator::NotIn(one(value)));
    }
    if let Some(value) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
        return Ok(Operator::In(one(value)));
    }
    let number = |value: &str| value.trim().parse().map_err(|_| LabelSelectorError::Number(text.to_owned()));
    if let Some(value) = rest.strip_prefix('>') {
        return number(value).map(Operator::GreaterThan);
    }
    if let Some(value) = rest.strip_prefix('<') {
        return number(value).map(Operator::LessThan);
    }
    let list = |word: &str| {
        let inner = rest.strip_prefix(word)?.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
    };
    let operator = list("in").map(Operator::In).or_else(|| list("notin").map(Operator::NotIn));
    operator.ok_or_else(|| LabelSelectorError::Operator(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_selects_what_it_selects_in_kubernetes() {
        let labels: BTreeMap<String, String> =
            [("app", "web"), ("tier", "front"), ("n", "5"), ("example.com/x", "")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
        for (text, is_selected) in [
            ("", true),
            (" ", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier=front", true),
            ("app=db", false),
            ("app!=web", false),
            ("absent!=web", true),
            ("app", true),
            ("absent", false),
            ("!absent", true),
            ("!app", false),
            ("example.com/x", true),
            ("example.com/x=", true),
            ("app in (db, web)", true),
            ("app in(db)", false),
            ("app notin (db,web)", false),
            ("absent notin (db)", true),
            ("tier in (front),app", true),
            ("n>4", true),
            ("n > 5", false),
            ("n<6", true),
            ("app<6", false),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(Some(&labels)), is_selected, "{text}");
        }
        assert!(LabelSelector::parse("!app").unwrap().matches(None));
    }

    #[test]
    fn what_is_no_selector_is_refused_with_the_part_at_fault() {
        for (text, at_fault) in [
            ("=web", "=web"),
            ("app=web,", "\"\""),
            ("app in (a", "app in (a"),
            ("app within (a)", "app within (a)"),
            ("n>x", "n>x"),
            ("a b", "a b"),
            ("!", "!"),
        ] {
            let message = LabelSelector::parse(text).unwrap_err().to_string();
            assert!(message.contains(at_fault), "{text}: {message}");
        }
    }
}
