use std::time::Duration;

use axum::body::BodyDataStream;
use tempfile::TempDir;
use tokio_stream::StreamExt;

use super::fixture::{from, pod, write_log};
use super::*;
use crate::board::Board;

const LOG: &str = "/api/v1/namespaces/default/pods/web-x1/log";

fn with_logs() -> (TempDir, ApiState) {
    let root = tempfile::tempdir().unwrap();
    let state = state(board(), root.path().to_owned());
    write_log(root.path(), &pod("default", "web-x1"), "main", 0, "one\ntwo");
    (root, state)
}

/// The container of `web-x1` has ended.
fn end_container(board: &Board) {
    let mut ended = pod("default", "web-x1");
    let statuses = ended.status.as_mut().unwrap().container_statuses.as_mut().unwrap();
    statuses[0].state = Some(from(json!({"terminated": {"exitCode": 0, "containerID": "containerd://c0"}})));
    board.put_pod(ended);
}

async fn next(stream: &mut BodyDataStream) -> Option<String> {
    let piece =
        tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("a piece in time")?;
    Some(String::from_utf8(piece.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_log_is_plain_text() {
    let (_root, state) = with_logs();
    assert_eq!(text(&state, LOG).await, (StatusCode::OK, "one\ntwo\n".to_owned()));
    assert_eq!(text(&state, &format!("{LOG}?tailLines=1&container=main")).await.1, "two\n");
    assert_eq!(
        text(&state, &format!("{LOG}?timestamps=true&limitBytes=34")).await.1,
        "2024-01-01T00:00:00.000000000Z one"
    );
}

#[tokio::test]
async fn a_followed_log_ends_with_its_container() {
    let (root, state) = with_logs();
    let response = respond(&state, "GET", &format!("{LOG}?follow=true"), "*/*").await;
    let mut stream = response.into_body().into_data_stream();
    assert_eq!(next(&mut stream).await.as_deref(), Some("one\ntwo\n"));
    write_log(root.path(), &pod("default", "web-x1"), "main", 0, "three");
    assert_eq!(next(&mut stream).await.as_deref(), Some("three\n"));
    end_container(&state.board);
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn a_followed_log_ends_with_its_pod() {
    let (_root, state) = with_logs();
    let response = respond(&state, "GET", &format!("{LOG}?follow=true"), "*/*").await;
    state.board.remove_pod("default", "web-x1");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "one\ntwo\n");
}

#[tokio::test]
async fn a_log_of_an_ended_container_is_not_followed() {
    let (_root, state) = with_logs();
    end_container(&state.board);
    assert_eq!(text(&state, &format!("{LOG}?follow=true")).await.1, "one\ntwo\n");
}

#[tokio::test]
async fn what_has_no_log_says_why() {
    let (_root, state) = with_logs();
    for (path, code, message) in [
        ("/api/v1/namespaces/default/pods/x/log", 404, "pods \"x\" not found"),
        (&format!("{LOG}?container=x"), 400, "container x is not valid for pod web-x1"),
        (
            &format!("{LOG}?previous=true"),
            400,
            "previous terminated container \"main\" in pod \"web-x1\" not found",
        ),
        (
            "/api/v1/namespaces/kube-system/pods/logs-x2/log",
            400,
            "container \"main\" in pod \"logs-x2\" has no log file: the runtime made none, or it was removed",
        ),
        (
            "/api/v1/namespaces/kube-system/pods/logs-x2/log?follow=1",
            400,
            "container \"main\" in pod \"logs-x2\" has no log file: the runtime made none, or it was removed",
        ),
    ] {
        let (status, body) = text(&state, path).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status.as_u16(), &body["message"]), (code, &json!(message)), "{path}");
    }
}

#[tokio::test]
async fn only_so_many_logs_are_read_at_a_time() {
    let (_root, state) = with_logs();
    let mut streams = Vec::new();
    for _ in 0..crate::api::log::MAX_READERS {
        let response = respond(&state, "GET", &format!("{LOG}?follow=true"), "*/*").await;
        assert_eq!(response.status(), StatusCode::OK);
        streams.push(response.into_body().into_data_stream());
    }
    assert_eq!(text(&state, LOG).await.0, StatusCode::TOO_MANY_REQUESTS);
    state.shutdown.cancel();
    for mut stream in streams {
        while next(&mut stream).await.is_some() {}
    }
}
