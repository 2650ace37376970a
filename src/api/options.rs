//! What a request for objects asks for: its query and its `Accept` header.
//!
//! Rule: `ListOptions` in apimachinery's `pkg/apis/meta/v1/types.go`. `limit` and `continue` are not honoured: an answer may
//! always be whole. Unknown parameters are ignored, as the API server does.

use std::collections::HashMap;
use std::time::Duration;

use super::failure::Failure;
use super::selector::{FieldSelector, LabelSelector, Selector};
use super::table::IncludeObject;
use crate::board::ItemKind;

/// A request's query, decoded.
pub(super) type Query = HashMap<String, String>;

/// What a list or watch asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ListOptions {
    pub(super) selector: Selector,
    pub(super) mode: Mode,
    pub(super) form: Form,
}

/// Once, or on and on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The objects as they are now.
    List,
    /// Changes as they happen.
    Watch {
        /// Only changes after this version; without one, every object counts as added first.
        since: Option<u64>,
        /// Whether to mark the end of the objects that were there already with a bookmark.
        marks_initial_end: bool,
        /// When to end.
        timeout: Option<Duration>,
    },
}

/// In what form objects are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Object,
    /// As rows.
    Table(IncludeObject),
}

impl ListOptions {
    pub(super) fn parse(query: &Query, accept: Option<&str>, kind: ItemKind) -> Result<Self, Failure> {
        let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let bad = |error: &dyn std::fmt::Display| Failure::bad_request(error.to_string());
        let labels = LabelSelector::parse(text("labelSelector")).map_err(|error| bad(&error))?;
        let fields = FieldSelector::parse(text("fieldSelector"))
            .and_then(|fields| fields.for_kind(kind))
            .map_err(|error| bad(&error))?;
        let mode = if flag(query, "watch") { watch_mode(query)? } else { Mode::List };
        Ok(Self { selector: Selector { labels, fields }, mode, form: form(query, accept)? })
    }
}

fn watch_mode(query: &Query) -> Result<Mode, Failure> {
    let marks_initial_end = flag(query, "sendInitialEvents");
    let since = number(query, "resourceVersion")?.filter(|version| *version > 0 && !marks_initial_end);
    let timeout = number(query, "timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs);
    Ok(Mode::Watch { since, marks_initial_end, timeout })
}

/// The form asked for; the first of the alternatives that is known.
pub(super) fn form(query: &Query, accept: Option<&str>) -> Result<Form, Failure> {
    for clause in accept.unwrap_or_default().split(',') {
        let mut parts = clause.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let parameters: HashMap<&str, &str> = parts.filter_map(|part| part.split_once('=')).collect();
        match (media_type, parameters.get("as")) {
            ("application/json", Some(&"Table"))
                if parameters.get("v") == Some(&"v1") && parameters.get("g") == Some(&"meta.k8s.io") =>
            {
                return include_object(query).map(Form::Table);
            }
            ("application/json" | "*/*", None) => return Ok(Form::Object),
            _ => {}
        }
    }
    Ok(Form::Object)
}

fn include_object(query: &Query) -> Result<IncludeObject, Failure> {
    match query.get("includeObject").map(String::as_str) {
        None | Some("" | "Metadata") => Ok(IncludeObject::Metadata),
        Some("None") => Ok(IncludeObject::None),
        Some("Object") => Ok(IncludeObject::Object),
        Some(other) => Err(Failure::bad_request(format!(
            "unrecognized includeObject value: {other:?}; expected one of None, Metadata, Object"
        ))),
    }
}

/// A flag is on when it is given, whatever its value, unless that says no.
pub(super) fn flag(query: &Query, name: &str) -> bool {
    query.get(name).is_some_and(|value| !matches!(value.to_lowercase().as_str(), "false" | "0"))
}

/// A whole number that is not negative; none if the parameter is absent or empty.
pub(super) fn number(query: &Query, name: &str) -> Result<Option<u64>, Failure> {
    match query.get(name).map(String::as_str) {
        None | Some("") => Ok(None),
        Some(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Failure::bad_request(format!(
                "invalid value {text:?} for {name}: expected a whole number that is not negative"
            ))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Query {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn mode(pairs: &[(&str, &str)]) -> Mode {
        ListOptions::parse(&query(pairs), None, ItemKind::Pod).unwrap().mode
    }

    #[test]
    fn a_watch_is_asked_for_as_kubernetes_clients_do() {
        let watch = |since| Mode::Watch { since, marks_initial_end: false, timeout: None };
        assert_eq!(mode(&[]), Mode::List);
        assert_eq!(mode(&[("watch", "false")]), Mode::List);
        assert_eq!(mode(&[("watch", "1")]), watch(None));
        assert_eq!(mode(&[("watch", ""), ("resourceVersion", "0")]), watch(None));
        assert_eq!(mode(&[("watch", "true"), ("resourceVersion", "7")]), watch(Some(7)));
        assert_eq!(
            mode(&[("watch", "true"), ("sendInitialEvents", "true"), ("timeoutSeconds", "3")]),
            Mode::Watch { since: None, marks_initial_end: true, timeout: Some(Duration::from_secs(3)) }
        );
    }

    #[test]
    fn a_table_is_asked_for_as_kubectl_does() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,\
                       application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        for (accept, expected) in [
            (Some(kubectl), Form::Table(IncludeObject::Metadata)),
            (Some("application/json, application/json;as=Table;v=v1;g=meta.k8s.io"), Form::Object),
            (Some("application/json;as=Table;v=v9;g=meta.k8s.io, application/json"), Form::Object),
            (Some("application/vnd.kubernetes.protobuf, */*"), Form::Object),
            (None, Form::Object),
        ] {
            assert_eq!(form(&query(&[]), accept), Ok(expected), "{accept:?}");
        }
        assert_eq!(
            form(&query(&[("includeObject", "Object")]), Some(kubectl)),
            Ok(Form::Table(IncludeObject::Object))
        );
    }

    #[test]
    fn what_can_not_be_understood_is_a_bad_request() {
        for pairs in
            [[("labelSelector", "=")], [("fieldSelector", "spec.colour=red")], [("includeObject", "Some")]]
        {
            let accept = Some("application/json;as=Table;v=v1;g=meta.k8s.io");
            assert!(ListOptions::parse(&query(&pairs), accept, ItemKind::Pod).is_err(), "{pairs:?}");
        }
        let pairs = query(&[("watch", "1"), ("resourceVersion", "x")]);
        assert!(ListOptions::parse(&pairs, None, ItemKind::Pod).is_err());
    }
}
