//! Requests that change something: handed to whoever runs the pods, and answered when it has been decided.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ApiState;
use super::command::Command;
use super::failure::Failure;
use super::objects;
use super::options::{Query, number};
use super::patch;
use super::resource::{DAEMON_SETS, NODES, PODS};
use crate::manifest::{DaemonSetKey, Object, defaults, validate};
use crate::node::{Edit, RewriteError};

/// How long a changed `node.yaml` may take to be seen.
const SEEN_WITHIN: Duration = Duration::from_secs(3);

/// What a DELETE may say in its body (`DeleteOptions`).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeleteOptions {
    grace_period_seconds: Option<u64>,
}

/// `DELETE …/pods/<name>`
pub(super) async fn delete_pod(
    state: &ApiState,
    namespace: &str,
    name: &str,
    query: &Query,
    body: &Bytes,
) -> Result<Response, Failure> {
    let options = if body.is_empty() { Ok(DeleteOptions::default()) } else { serde_json::from_slice(body) };
    let options = options.map_err(|error| Failure::bad_request(error.to_string()))?;
    let grace =
        number(query, "gracePeriodSeconds")?.or(options.grace_period_seconds).map(Duration::from_secs);
    let (answer, answered) = oneshot::channel();
    let (namespace, pod) = (namespace.to_owned(), name.to_owned());
    ask(state, Command::DeletePod { namespace, name: pod, grace, answer }, answered)
        .await?
        .map(|pod| objects::json(&pod))
        .ok_or_else(|| Failure::not_found(&PODS, name))
}

/// `PATCH …/daemonsets/<name>`: its pod template, until the store brings another.
pub(super) async fn patch_daemon_set(
    state: &ApiState,
    namespace: &str,
    name: &str,
    query: &Query,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, Failure> {
    let (kind, patch) = read_patch(headers, body)?;
    let found =
        state.board.daemon_set(namespace, name).ok_or_else(|| Failure::not_found(&DAEMON_SETS, name))?;
    let mut patched = found.as_ref().clone();
    if let Some(spec) = &mut patched.spec {
        spec.template = patch::template(&spec.template, &patch, kind).map_err(Failure::bad_request)?;
    }
    let template = Box::new(checked(patched)?);
    let by = query.get("fieldManager").map_or("a client of the API", String::as_str).to_owned();
    let daemon_set = DaemonSetKey { namespace: namespace.to_owned(), name: name.to_owned() };
    let (answer, answered) = oneshot::channel();
    ask(state, Command::SetTemplate { daemon_set, template, by, answer }, answered)
        .await?
        .map_err(|reason| Failure::forbidden(&DAEMON_SETS, name, &reason))?
        .map(|daemon_set| objects::json(&daemon_set))
        .ok_or_else(|| Failure::not_found(&DAEMON_SETS, name))
}

/// `PATCH …/nodes/<name>`: what `node.yaml` says. Answered once the node is so.
pub(super) async fn patch_node(
    state: &ApiState,
    name: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, Failure> {
    let (_, patch) = read_patch(headers, body)?;
    let shown = || state.board.node().filter(|node| node.metadata.name.as_deref() == Some(name));
    let not_found = || Failure::not_found(&NODES, name);
    if shown().is_none() {
        return Err(not_found());
    }
    let edit = Edit::of_patch(&patch).map_err(Failure::bad_request)?;
    let mut changes = state.board.subscribe();
    let (answer, answered) = oneshot::channel();
    ask(state, Command::EditNode { edit: edit.clone(), answer }, answered).await?.map_err(
        |error| match error {
            RewriteError::Refused(problems) => Failure::invalid(&NODES, name, &problems),
            RewriteError::Broken { .. } => Failure::conflict(error.to_string()),
            RewriteError::Read { .. } | RewriteError::Write { .. } => Failure::internal(error.to_string()),
        },
    )?;
    let becomes_so = async {
        while shown().is_some_and(|node| !edit.is_met_by(&node)) {
            // One who lags looks again all the same.
            if let Err(RecvError::Closed) = changes.recv().await {
                return;
            }
        }
    };
    // The file is written; a watch that has to wait for its slow look must not make that a failure.
    let _ = timeout(SEEN_WITHIN, becomes_so).await;
    shown().map(|node| objects::json(&node)).ok_or_else(not_found)
}

fn read_patch(headers: &HeaderMap, body: &Bytes) -> Result<(patch::Kind, Value), Failure> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = patch::Kind::of(content_type).ok_or_else(|| Failure::unsupported_media_type(content_type))?;
    let patch = serde_json::from_slice(body).map_err(|error| Failure::bad_request(error.to_string()))?;
    Ok((kind, patch))
}

/// The template of a patched DaemonSet, with its defaults; or all that is wrong with it.
fn checked(mut patched: DaemonSet) -> Result<PodTemplateSpec, Failure> {
    defaults::daemon_set(&mut patched);
    let mut problems = validate::unsupported(&patched);
    let patched = Object::DaemonSet(Box::new(patched));
    problems.extend(validate::object(&patched, &|_| true));
    let Object::DaemonSet(patched) = patched else { return Err(Failure::internal("another kind of object")) };
    let name = patched.metadata.name.unwrap_or_default();
    if !problems.is_empty() {
        let problems: Vec<String> =
            problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message())).collect();
        return Err(Failure::invalid(&DAEMON_SETS, &name, &problems));
    }
    patched.spec.map(|spec| spec.template).ok_or_else(|| Failure::not_found(&DAEMON_SETS, &name))
}

/// `POST /apis/daemonlet.dev/v1/store/confirm`
pub(super) async fn confirm_removals(state: &ApiState) -> Result<Response, Failure> {
    let (answer, answered) = oneshot::channel();
    ask(state, Command::ConfirmRemovals { answer }, answered).await?;
    Ok(objects::json(&json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})))
}

/// `POST /apis/daemonlet.dev/v1/store/allow-older`
pub(super) async fn allow_older_store(state: &ApiState) -> Result<Response, Failure> {
    let (answer, answered) = oneshot::channel();
    ask(state, Command::AllowOlderStore { answer }, answered).await?;
    Ok(objects::json(&json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})))
}

pub(super) async fn ask<T>(
    state: &ApiState,
    command: Command,
    answer: oneshot::Receiver<T>,
) -> Result<T, Failure> {
    let busy = || {
        Failure::unavailable(
            "the agent is not ready for this yet: it still waits for its runtime or its store",
        )
    };
    state.commands.try_send(command).map_err(|_| busy())?;
    answer.await.map_err(|_| busy())
}
