//! The template's required node affinity: one of the terms must match, with all of its expressions and fields.
//!
//! Source: `component-helpers/scheduling/corev1/nodeaffinity` and `apimachinery/pkg/labels`. A term that can't be read matches no
//! node, whatever its other expressions say; an unreadable term never keeps another term from matching.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

use crate::manifest::validate::names::{label_value, qualified_name};

/// The one field that `matchFields` knows.
const NAME_FIELD: &str = "metadata.name";

/// Something a template asks of a node's labels or name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// A pair of `nodeSelector`.
    Pair {
        /// The label's key.
        key: String,
        /// The value it must have.
        value: String,
    },
    /// An entry of `matchExpressions` or `matchFields`.
    Requirement {
        /// The label's key, or the field's path.
        key: String,
        /// The operator as written.
        operator: String,
        /// The values as written.
        values: Vec<String>,
    },
}

/// What the node has where an expression looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No label of this key.
    NoLabel {
        /// The key looked for.
        key: String,
    },
    /// A label of this key.
    Label {
        /// The key looked for.
        key: String,
        /// The node's value.
        value: String,
    },
    /// A label that ought to be an integer to be compared.
    NoInteger {
        /// The key looked for.
        key: String,
        /// The node's value.
        value: String,
    },
    /// The node's name, which `matchFields` compares.
    Name(String),
}

/// An expression that doesn't hold on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// What was asked.
    pub expression: Expression,
    /// What the node has.
    pub found: Found,
}

/// Why a term matches no node, or not this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TermFailure {
    /// Neither `matchExpressions` nor `matchFields`.
    Empty,
    /// It can't be read, and so matches no node.
    Unreadable {
        /// The first entry at fault.
        expression: Expression,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// These entries don't hold on this node.
    Unmet(Vec<Unmet>),
}

/// The number, counted from 1, of the first term that matches; or why each doesn't.
pub(super) fn matching_term(
    affinity: &NodeSelector,
    node_name: &str,
    labels: Option<&BTreeMap<String, String>>,
) -> Result<usize, Vec<TermFailure>> {
    let mut failures = Vec::new();
    for (term, number) in affinity.node_selector_terms.iter().zip(1..) {
        match check_term(term, node_name, labels) {
            Ok(()) => return Ok(number),
            Err(failure) => failures.push(failure),
        }
    }
    Err(failures)
}

fn check_term(
    term: &NodeSelectorTerm,
    node_name: &str,
    labels: Option<&BTreeMap<String, String>>,
) -> Result<(), TermFailure> {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return Err(TermFailure::Empty);
    }
    let expressions = expressions.iter().map(|entry| (entry, Operator::of_label(entry)));
    let fields = fields.iter().map(|entry| (entry, Operator::of_field(entry)));
    let mut unmet = Vec::new();
    // All entries are read before any is judged unmet: one unreadable entry spoils the term.
    for (entry, operator) in expressions {
        let operator = operator.map_err(|fault| unreadable(entry, fault))?;
        let value = labels.and_then(|labels| labels.get(&entry.key)).map(String::as_str);
        if !operator.holds(value) {
            let found = match value {
                Some(value) if operator.compares_integers() && value.parse::<i64>().is_err() => {
                    Found::NoInteger { key: entry.key.clone(), value: value.to_owned() }
                }
                value => Found::label(&entry.key, value),
            };
            unmet.push(Unmet { expression: entry.into(), found });
        }
    }
    for (entry, operator) in fields {
        let operator = operator.map_err(|fault| unreadable(entry, fault))?;
        if !operator.holds(Some(node_name)) {
            unmet.push(Unmet { expression: entry.into(), found: Found::Name(node_name.to_owned()) });
        }
    }
    if unmet.is_empty() { Ok(()) } else { Err(TermFailure::Unmet(unmet)) }
}

fn unreadable(entry: &NodeSelectorRequirement, fault: &'static str) -> TermFailure {
    TermFailure::Unreadable { expression: entry.into(), fault }
}

/// A readable operator with its values.
#[derive(Debug, Clone, Copy)]
enum Operator<'a> {
    In(&'a [String]),
    NotIn(&'a [String]),
    Exists,
    DoesNotExist,
    Gt(i64),
    Lt(i64),
}

impl<'a> Operator<'a> {
    fn of_label(entry: &'a NodeSelectorRequirement) -> Result<Self, &'static str> {
        let values = entry.values.as_deref().unwrap_or_default();
        if !qualified_name(&entry.key).is_empty() {
            return Err("the key is no label key");
        }
        let operator = match entry.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => return Err("it needs at least one value"),
            "In" => Operator::In(values),
            "NotIn" => Operator::NotIn(values),
            "Exists" | "DoesNotExist" if !values.is_empty() => return Err("it takes no values"),
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::Gt(only_integer(values)?),
            "Lt" => Operator::Lt(only_integer(values)?),
            _ => return Err("the operator must be In, NotIn, Exists, DoesNotExist, Gt or Lt"),
        };
        if values.iter().all(|value| label_value(value).is_empty()) {
            Ok(operator)
        } else {
            Err("a value is no label value")
        }
    }

    fn of_field(entry: &'a NodeSelectorRequirement) -> Result<Self, &'static str> {
        let values = entry.values.as_deref().unwrap_or_default();
        if entry.key != NAME_FIELD {
            return Err("the only field is metadata.name");
        }
        match entry.operator.as_str() {
            "In" | "NotIn" if values.len() != 1 => Err("it needs exactly one value"),
            "In" => Ok(Operator::In(values)),
            "NotIn" => Ok(Operator::NotIn(values)),
            _ => Err("the operator must be In or NotIn"),
        }
    }

    fn holds(self, value: Option<&str>) -> bool {
        match (self, value) {
            (Operator::In(values), Some(value)) => values.iter().any(|wanted| wanted == value),
            (Operator::NotIn(values), Some(value)) => values.iter().all(|unwanted| unwanted != value),
            (Operator::Exists, value) => value.is_some(),
            (Operator::DoesNotExist, value) => value.is_none(),
            (Operator::Gt(bound), Some(value)) => value.parse::<i64>().is_ok_and(|value| value > bound),
            (Operator::Lt(bound), Some(value)) => value.parse::<i64>().is_ok_and(|value| value < bound),
            (Operator::NotIn(_), None) => true,
            (Operator::In(_) | Operator::Gt(_) | Operator::Lt(_), None) => false,
        }
    }

    const fn compares_integers(self) -> bool {
        matches!(self, Operator::Gt(_) | Operator::Lt(_))
    }
}

fn only_integer(values: &[String]) -> Result<i64, &'static str> {
    match values {
        [value] => value.parse().map_err(|_| "the value is no 64-bit integer"),
        _ => Err("it needs exactly one value"),
    }
}

impl From<&NodeSelectorRequirement> for Expression {
    fn from(entry: &NodeSelectorRequirement) -> Self {
        Expression::Requirement {
            key: entry.key.clone(),
            operator: entry.operator.clone(),
            values: entry.values.clone().unwrap_or_default(),
        }
    }
}

impl Found {
    pub(super) fn label(key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => Found::Label { key: key.to_owned(), value: value.to_owned() },
            None => Found::NoLabel { key: key.to_owned() },
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Pair { key, value } => write!(f, "{key}={value}"),
            Expression::Requirement { key, operator, values } => {
                write!(f, "{key} {operator}")?;
                match values.as_slice() {
                    [] => Ok(()),
                    values => write!(f, " [{}]", values.join(", ")),
                }
            }
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::NoLabel { key } => write!(f, "the node has no label {key}"),
            Found::Label { key, value } => write!(f, "the node has {key}={value}"),
            Found::NoInteger { key, value } => write!(f, "the node has {key}={value}, which is no integer"),
            Found::Name(name) => write!(f, "the node's name is {name}"),
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.expression, self.found)
    }
}

impl fmt::Display for TermFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TermFailure::Empty => write!(f, "an empty term matches no node"),
            TermFailure::Unreadable { expression, fault } => {
                write!(f, "{expression}: cannot be read and so matches no node: {fault}")
            }
            TermFailure::Unmet(unmet) => {
                for (index, entry) in unmet.iter().enumerate() {
                    write!(f, "{}{entry}", if index == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
        }
    }
}
