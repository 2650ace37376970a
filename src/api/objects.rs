//! Objects by name and in lists, as themselves or as rows.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::ApiState;
use super::failure::Failure;
use super::options::{Form, ListOptions, Mode, Query, form};
use super::resource::ResourceType;
use super::table::{Column, IncludeObject, Row, columns};
use super::watch;
use crate::board::{Item, ItemKind};

/// Answers with JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => Failure::internal(format!("the answer can't be encoded: {error}")).into_response(),
    }
}

/// One object.
pub(super) fn get(
    state: &ApiState,
    resource: &ResourceType,
    namespace: &str,
    name: &str,
    query: &Query,
    accept: Option<&str>,
) -> Result<Response, Failure> {
    let item =
        state.board.get(resource.item, namespace, name).ok_or_else(|| Failure::not_found(resource, name))?;
    Ok(match form(query, accept)? {
        Form::Object => json(&item),
        Form::Table(include) => {
            let version = item.metadata().resource_version.clone().unwrap_or_default();
            json(&Table::new(resource.item, version, vec![item], include, true))
        }
    })
}

/// The objects of one namespace, or of all of them; or a watch over them.
pub(super) fn list(
    state: &ApiState,
    resource: &ResourceType,
    namespace: Option<&str>,
    query: &Query,
    accept: Option<&str>,
) -> Result<Response, Failure> {
    let options = ListOptions::parse(query, accept, resource.item)?;
    if let Mode::Watch { .. } = options.mode {
        return watch::watch(state, resource.item, namespace, options);
    }
    let listing = state.board.list(resource.item);
    let version = listing.resource_version.to_string();
    let is_meant = |item: &Item| {
        namespace.is_none_or(|namespace| item.namespace() == namespace) && options.selector.matches(item)
    };
    let mut items: Vec<Item> = listing.items.into_iter().filter(is_meant).collect();
    if resource.item == ItemKind::Event {
        // Kubernetes leaves the order open; an operator wants the latest last.
        items.sort_by_key(|item| match item {
            Item::Event(event) => event.last_timestamp.as_ref().map(|time| time.0),
            _ => None,
        });
    }
    Ok(match options.form {
        Form::Object => json(&List::new(resource, version, items)),
        Form::Table(include) => json(&Table::new(resource.item, version, items, include, true)),
    })
}

#[derive(Serialize)]
struct List {
    kind: String,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    metadata: Metadata,
    items: Vec<Item>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

impl List {
    fn new(resource: &ResourceType, resource_version: String, items: Vec<Item>) -> Self {
        Self {
            kind: format!("{}List", resource.kind),
            api_version: resource.api_version(),
            metadata: Metadata { resource_version },
            items,
        }
    }
}

/// Rows with their columns.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Table {
    kind: &'static str,
    api_version: &'static str,
    metadata: Metadata,
    column_definitions: &'static [Column],
    rows: Vec<Row>,
}

impl Table {
    /// A table of these items. In a watch only the first table names the columns.
    pub(super) fn new(
        kind: ItemKind,
        resource_version: String,
        items: Vec<Item>,
        include: IncludeObject,
        names_columns: bool,
    ) -> Self {
        let now = Timestamp::now();
        Self {
            kind: "Table",
            api_version: "meta.k8s.io/v1",
            metadata: Metadata { resource_version },
            column_definitions: if names_columns { columns(kind) } else { &[] },
            rows: items.into_iter().map(|item| Row::new(item, now, include)).collect(),
        }
    }
}
