//! `/apis/daemonlet.dev/v1/holds`: who holds back updates.

use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::ApiState;
use super::command::Command;
use super::discovery::OWN_GROUP;
use super::failure::Failure;
use super::objects;
use super::options::Query;
use super::writes::ask;
use crate::rollout::hold::{Hold, LONGEST, Target};

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    target: String,
    by: String,
    #[serde(default)]
    reason: String,
    ttl_seconds: u64,
}

/// Every hold that counts.
pub(super) async fn list(state: &ApiState) -> Result<Response, Failure> {
    let (answer, answered) = oneshot::channel();
    let holds = ask(state, Command::Holds { answer }, answered).await?;
    let items: Vec<Value> = holds.iter().map(|(target, hold)| shown(target, hold)).collect();
    Ok(objects::json(&json!({"kind": "HoldList", "apiVersion": format!("{OWN_GROUP}/v1"), "items": items})))
}

/// Takes a hold up.
pub(super) async fn put(state: &ApiState, body: &Bytes) -> Result<Response, Failure> {
    let wanted: Wanted =
        serde_json::from_slice(body).map_err(|error| Failure::bad_request(error.to_string()))?;
    let target = target(&wanted.target)?;
    let ttl = Duration::from_secs(wanted.ttl_seconds);
    if ttl.is_zero() || ttl > LONGEST {
        let days = LONGEST.as_secs() / 86_400;
        return Err(Failure::bad_request(format!(
            "ttlSeconds: a hold lasts for a second at least and {days} days at most"
        )));
    }
    let since = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let hold = Hold { by: wanted.by, reason: wanted.reason, since, until: since + ttl, since_boot: None };
    let (answer, answered) = oneshot::channel();
    let kept =
        ask(state, Command::Hold { target: target.clone(), hold: hold.clone(), answer }, answered).await?;
    kept.map_err(Failure::internal)?;
    Ok(objects::json(&shown(&target.name(), &hold)))
}

/// Ends a hold, whoever has it.
pub(super) async fn release(state: &ApiState, query: &Query) -> Result<Response, Failure> {
    let name = query.get("target").map(String::as_str).unwrap_or_default();
    let target = target(name)?;
    let by = query.get("by").map_or("a client of the API", String::as_str).to_owned();
    let (answer, answered) = oneshot::channel();
    let ended = ask(state, Command::Release { target, by, answer }, answered).await?;
    match ended.map_err(Failure::internal)? {
        Some(hold) => Ok(objects::json(&shown(name, &hold))),
        None => Err(Failure::not_found_as(&format!("holds.{OWN_GROUP}"), OWN_GROUP, "holds", name)),
    }
}

fn target(name: &str) -> Result<Target, Failure> {
    let message = || format!("target: {name:?} is neither \"node\" nor <namespace>_<name> of a DaemonSet");
    Target::named(name).ok_or_else(|| Failure::bad_request(message()))
}

fn shown(target: &str, hold: &Hold) -> Value {
    json!({
        "kind": "Hold",
        "apiVersion": format!("{OWN_GROUP}/v1"),
        "target": target,
        "by": hold.by,
        "reason": hold.reason,
        "since": hold.since.to_string(),
        "until": hold.until.to_string(),
    })
}
