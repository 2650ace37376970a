//! What only daemonlet knows: why a DaemonSet runs here or does not, and how the agent itself is doing.

use axum::response::Response;
use k8s_openapi::api::apps::v1::DaemonSet;
use serde::Serialize;
use serde_json::{Value, json};

use super::ApiState;
use super::discovery::OWN_GROUP;
use super::failure::Failure;
use super::objects::json;
use super::resource::DAEMON_SETS;
use crate::board::{Board, ItemKind};
use crate::boot_time;
use crate::kubelet::standing_back::{Start, SteppedBack};
use crate::manifest::{DaemonSetKey, Kind, ObjectKey, Problem, Severity};
use crate::placement::Verdict;
use crate::store::{Freshness, HeldRemovals};

const API_VERSION: &str = "daemonlet.dev/v1";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation<'a> {
    kind: &'static str,
    api_version: &'static str,
    daemon_set: String,
    node: &'a str,
    #[serde(flatten)]
    verdict: &'a Verdict,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    forbidden: &'a [String],
}

/// `/apis/daemonlet.dev/v1/explanations/<namespace>/<name>`
pub(super) fn explanation(state: &ApiState, namespace: &str, name: &str) -> Result<Response, Failure> {
    let key = DaemonSetKey { namespace: namespace.to_owned(), name: name.to_owned() };
    let Some(verdict) = state.board.explanation(&key) else {
        return Err(match state.board.daemon_set(namespace, name) {
            None => {
                let failure = Failure::not_found(&DAEMON_SETS, name);
                match refused_by_store(&state.board, &key) {
                    Some(problems) => {
                        failure.because(&format!("the store has it, and it can't be used:\n{problems}"))
                    }
                    None => failure,
                }
            }
            Some(_) => {
                Failure::not_found_as(&format!("explanations.{OWN_GROUP}"), OWN_GROUP, "explanations", name)
            }
        });
    };
    Ok(json(&Explanation {
        kind: "Explanation",
        api_version: API_VERSION,
        daemon_set: key.to_string(),
        node: state.board.node_name(),
        verdict: &verdict,
        forbidden: &state.board.refusals(&key),
    }))
}

/// What is wrong with the DaemonSet's manifests, a line each; nothing if none is refused.
fn refused_by_store(board: &Board, key: &DaemonSetKey) -> Option<String> {
    let object =
        ObjectKey { kind: Kind::DaemonSet, namespace: key.namespace.clone(), name: key.name.clone() };
    let store = board.store_status();
    let problems = store.problems.iter().filter(|problem| problem.object.as_ref() == Some(&object));
    let lines: Vec<String> = problems.map(ToString::to_string).collect();
    Some(lines.join("\n")).filter(|lines| !lines.is_empty())
}

/// `/apis/daemonlet.dev/v1/status`
pub(super) fn status(state: &ApiState) -> Response {
    let board = &state.board;
    let store = board.store_status();
    let runtime = board.runtime_status();
    let readiness = board.readiness();
    let (freshness, reason) = match &store.freshness {
        Freshness::Unknown => ("Unknown", store.refused.as_ref()),
        Freshness::Current => ("Current", None),
        Freshness::LastGood { reason } => ("LastGood", Some(reason)),
    };
    let ignored: Vec<Value> = store
        .ignored
        .iter()
        .map(|file| json!({"path": file.path.display().to_string(), "reason": file.reason}))
        .collect();
    let conditions: Vec<Value> = readiness
        .conditions()
        .map(|(name, pending)| json!({"name": name, "met": pending.is_none(), "waitsFor": pending}))
        .collect();
    json(&json!({
        "kind": "AgentStatus",
        "apiVersion": API_VERSION,
        "version": state.version,
        "node": board.node_name(),
        "ready": readiness.is_ready(),
        "conditions": conditions,
        "store": {
            "source": store.source,
            "freshness": freshness,
            "reason": reason,
            "objects": store.objects,
            "problems": store.problems.iter().map(problem).collect::<Vec<_>>(),
            "ignored": ignored,
            "removalsHeld": store.held.as_ref().map(removals_held),
        },
        "runtime": {"endpoint": runtime.endpoint, "version": runtime.version, "problem": runtime.problem},
        "unusual": unusual(board),
        "updatesHeld": board.updates_held(),
        "daemonSets": board.count(ItemKind::DaemonSet),
        "pods": board.count(ItemKind::Pod),
        "standingBy": board.stepped_back().as_deref().map(standing_by),
    }))
}

/// What the conditions of DaemonSets say: each of them is out of the ordinary.
fn unusual(board: &Board) -> Vec<Value> {
    let conditions = |daemon_set: &DaemonSet| {
        let name = daemon_set.metadata.name.clone().unwrap_or_default();
        let namespace = daemon_set.metadata.namespace.clone().unwrap_or_default();
        let conditions = daemon_set.status.as_ref().and_then(|status| status.conditions.clone());
        conditions.into_iter().flatten().map(move |condition| {
            json!({
                "daemonSet": format!("{namespace}/{name}"),
                "type": condition.type_,
                "message": condition.message,
            })
        })
    };
    board.daemon_sets().iter().flat_map(|daemon_set| conditions(daemon_set)).collect()
}

fn removals_held(held: &HeldRemovals) -> Value {
    let remaining = held.remaining(boot_time::uptime()).map(|left| left.as_secs());
    json!({"cause": held.cause, "objects": held.objects, "remainingSeconds": remaining})
}

/// Files are named, and what is in them is not: variables may be secrets.
fn standing_by(note: &SteppedBack) -> Value {
    let handed_over = note.written.iter().map(|written| {
        let (started, at) = match written.start {
            Start::NotAwaited => ("NotAwaited", None),
            Start::Awaited => ("Awaited", None),
            Start::Seen { at } => ("Started", Some(at)),
        };
        json!({
            "daemonSet": written.daemon_set.to_string(),
            "file": written.path.display().to_string(),
            "since": written.at,
            "kubelet": started,
            "startedBy": at,
        })
    });
    let refused = note
        .refused
        .iter()
        .map(|(daemon_set, reasons)| json!({"daemonSet": daemon_set.to_string(), "reasons": reasons}));
    json!({
        "since": note.since,
        "reason": note.why,
        "staticPodPath": note.static_pod_path.display().to_string(),
        "handedOver": handed_over.collect::<Vec<_>>(),
        "notHandedOver": refused.collect::<Vec<_>>(),
    })
}

fn problem(problem: &Problem) -> Value {
    let severity = match problem.severity {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
        Severity::Notice => "Notice",
    };
    json!({
        "severity": severity,
        "file": problem.file.display().to_string(),
        "line": problem.line,
        "field": problem.field,
        "message": problem.message,
        "object": problem.object.as_ref().map(ToString::to_string),
    })
}
