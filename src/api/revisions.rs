//! ControllerRevisions, read from the disk when somebody asks: nobody else needs their templates.

use axum::response::Response;
use k8s_openapi::api::apps::v1::ControllerRevision;
use serde_json::json;

use super::ApiState;
use super::failure::Failure;
use super::objects;
use super::options::Query;
use super::selector::LabelSelector;
use crate::rollout::history;

const RESOURCE: &str = "controllerrevisions";

/// `…/controllerrevisions`, in one namespace or in all.
pub(super) async fn list(
    state: &ApiState,
    namespace: Option<&str>,
    query: &Query,
) -> Result<Response, Failure> {
    let selector = query.get("labelSelector").map_or("", String::as_str);
    let selector = LabelSelector::parse(selector).map_err(|error| Failure::bad_request(error.to_string()))?;
    let items: Vec<serde_json::Value> = read(state)
        .await?
        .into_iter()
        .filter(|it| namespace.is_none_or(|namespace| it.metadata.namespace.as_deref() == Some(namespace)))
        .filter(|it| selector.matches(it.metadata.labels.as_ref()))
        .filter_map(|it| serde_json::to_value(it).ok())
        .collect();
    Ok(objects::json(&json!({
        "kind": "ControllerRevisionList",
        "apiVersion": "apps/v1",
        "metadata": {"resourceVersion": ""},
        "items": items,
    })))
}

/// `…/controllerrevisions/<name>`
pub(super) async fn get(state: &ApiState, namespace: &str, name: &str) -> Result<Response, Failure> {
    let is_meant = |it: &ControllerRevision| {
        it.metadata.namespace.as_deref() == Some(namespace) && it.metadata.name.as_deref() == Some(name)
    };
    let found = read(state).await?.into_iter().find(is_meant);
    found
        .map(|it| objects::json(&it))
        .ok_or_else(|| Failure::not_found_as(&format!("{RESOURCE}.apps"), "apps", RESOURCE, name))
}

async fn read(state: &ApiState) -> Result<Vec<ControllerRevision>, Failure> {
    let dir = state.revisions_dir.clone();
    match tokio::task::spawn_blocking(move || history::read_all(&dir)).await {
        Ok(Ok(revisions)) => Ok(revisions),
        Ok(Err(error)) => Err(Failure::internal(format!("the revisions can't be read: {error}"))),
        Err(panic) => Err(Failure::internal(panic.to_string())),
    }
}
