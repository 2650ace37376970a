use std::time::Duration;

use axum::body::BodyDataStream;
use tokio_stream::StreamExt;

use super::fixture::pod;
use super::*;

/// The lines of a watch, each awaited for at most ten seconds.
struct Lines(BodyDataStream);

impl Lines {
    async fn open(state: &ApiState, path: &str, accept: &str) -> Self {
        let response = respond(state, "GET", path, accept).await;
        assert_eq!(response.status(), StatusCode::OK);
        Self(response.into_body().into_data_stream())
    }

    async fn next(&mut self) -> Option<Value> {
        let line =
            tokio::time::timeout(Duration::from_secs(10), self.0.next()).await.expect("a line in time")?;
        let line = line.unwrap();
        assert_eq!(line.last(), Some(&b'\n'), "a frame is one line");
        Some(serde_json::from_slice(&line).unwrap())
    }

    /// The type and the object's name of the next line.
    async fn next_change(&mut self) -> (String, String) {
        let line = self.next().await.expect("another line");
        let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (of(&line["type"]), of(&line["object"]["metadata"]["name"]))
    }
}

fn change(watch_type: &str, name: &str) -> (String, String) {
    (watch_type.to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_watch_tells_what_is_there_and_then_what_changes() {
    let state = a_state();
    let mut lines = Lines::open(&state, "/api/v1/namespaces/default/pods?watch=1", "*/*").await;
    assert_eq!(lines.next_change().await, change("ADDED", "web-x1"));
    state.board.put_pod(pod("kube-system", "elsewhere"));
    state.board.put_pod(pod("default", "new"));
    state.board.remove_pod("default", "web-x1");
    assert_eq!(lines.next_change().await, change("ADDED", "new"));
    assert_eq!(lines.next_change().await, change("DELETED", "web-x1"));
}

#[tokio::test]
async fn a_watch_goes_on_where_the_list_ended() {
    let state = a_state();
    let list = get(&state, "/api/v1/pods").await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    state.board.put_pod(pod("default", "between"));
    let path = format!("/api/v1/pods?watch=1&resourceVersion={version}");
    let mut lines = Lines::open(&state, &path, "*/*").await;
    assert_eq!(lines.next_change().await, change("ADDED", "between"));
    state.board.put_pod(pod("default", "after"));
    assert_eq!(lines.next_change().await, change("ADDED", "after"));
}

#[tokio::test]
async fn a_watch_from_another_life_is_gone() {
    let state = a_state();
    let (code, text) = text(&state, "/api/v1/pods?watch=1&resourceVersion=1").await;
    assert_eq!(code, StatusCode::GONE);
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["reason"], "Expired");
    assert!(status["message"].as_str().unwrap().starts_with("too old resource version: 1 ("));
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_told_what_it_missed_as_it_is_by_now() {
    let state = a_state();
    let version = state.board.list(crate::board::ItemKind::Pod).resource_version;
    let path = format!("/api/v1/pods?watch=1&resourceVersion={version}");
    let mut lines = Lines::open(&state, &path, "*/*").await;
    let name = |n| format!("p{n}");
    (0..400).for_each(|n| state.board.put_pod(pod("default", &name(n))));
    (0..3).for_each(|n| state.board.remove_pod("default", &name(n)));
    state.board.put_pod(pod("default", "last"));
    let mut known = std::collections::BTreeSet::new();
    while !known.contains("last") {
        let line = lines.next().await.unwrap();
        let name = line["object"]["metadata"]["name"].as_str().unwrap().to_owned();
        match line["type"].as_str() {
            Some("DELETED") => drop(known.remove(&name)),
            Some("ADDED") => drop(known.insert(name)),
            _ => panic!("{line}"),
        }
    }
    let mut present: std::collections::BTreeSet<String> = (3..400).map(name).collect();
    present.insert("last".to_owned());
    assert_eq!(known, present);
}

#[tokio::test]
async fn a_watcher_that_has_missed_more_than_is_known_is_told_to_list_again() {
    let state = a_state();
    let version = state.board.list(crate::board::ItemKind::Pod).resource_version;
    let path = format!("/api/v1/pods?watch=1&resourceVersion={version}");
    let mut lines = Lines::open(&state, &path, "*/*").await;
    for n in 0..400 {
        state.board.put_pod(pod("default", &format!("p{n}")));
        state.board.remove_pod("default", &format!("p{n}"));
    }
    let mut last = Value::Null;
    while let Some(line) = lines.next().await {
        last = line;
    }
    assert_eq!((&last["type"], &last["object"]["code"]), (&json!("ERROR"), &json!(410)));
}

#[tokio::test]
async fn a_watch_as_a_table_names_its_columns_once() {
    let state = a_state();
    let mut lines = Lines::open(&state, "/api/v1/namespaces/default/pods?watch=1", TABLE).await;
    let first = lines.next().await.unwrap();
    assert_eq!(first["object"]["kind"], "Table");
    assert_eq!(first["object"]["columnDefinitions"][1]["name"], "Ready");
    assert_eq!(first["object"]["rows"][0]["cells"][0], "web-x1");
    state.board.remove_pod("default", "web-x1");
    let second = lines.next().await.unwrap();
    assert_eq!(second["type"], "DELETED");
    assert_eq!(second["object"]["columnDefinitions"], json!([]));
}

#[tokio::test]
async fn a_watch_list_marks_the_end_of_what_was_there() {
    let state = a_state();
    let path = "/api/v1/nodes?watch=1&sendInitialEvents=true&allowWatchBookmarks=true\
                &resourceVersionMatch=NotOlderThan";
    let mut lines = Lines::open(&state, path, "*/*").await;
    assert_eq!(lines.next_change().await, change("ADDED", "node-1"));
    let bookmark = lines.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert!(bookmark["object"]["metadata"]["resourceVersion"].is_string());
}

#[tokio::test]
async fn a_watch_over_a_selection_sees_objects_come_into_it() {
    let state = a_state();
    let mut lines = Lines::open(&state, "/api/v1/pods?watch=1&labelSelector=app%3Dweb-x1", "*/*").await;
    assert_eq!(lines.next_change().await, change("ADDED", "web-x1"));
    let mut relabelled = pod("default", "web-x1");
    relabelled.metadata.labels = None;
    state.board.put_pod(relabelled);
    assert_eq!(lines.next_change().await, change("DELETED", "web-x1"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_at_its_timeout() {
    let state = a_state();
    let mut lines = Lines::open(&state, "/api/v1/nodes?watch=1&timeoutSeconds=5", "*/*").await;
    assert_eq!(lines.next_change().await, change("ADDED", "node-1"));
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn a_watch_ends_when_the_agent_shuts_down() {
    let state = a_state();
    let mut lines = Lines::open(&state, "/api/v1/nodes?watch=1", "*/*").await;
    lines.next_change().await;
    state.shutdown.cancel();
    assert_eq!(lines.next().await, None);
}
