//! Every path, as its clients see it.

pub(crate) mod fixture;
mod logs;
mod watches;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use self::fixture::{Agent, board, state};
use super::ApiState;
use super::routes::router;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

async fn respond(state: &ApiState, method: &str, path: &str, accept: &str) -> Response {
    let request =
        Request::builder().method(method).uri(path).header(header::ACCEPT, accept).body(Body::empty());
    router(state.clone()).oneshot(request.unwrap()).await.unwrap()
}

async fn text(state: &ApiState, path: &str) -> (StatusCode, String) {
    let response = respond(state, "GET", path, "*/*").await;
    let code = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(state: &ApiState, path: &str) -> Value {
    let (code, text) = text(state, path).await;
    assert_eq!(code, StatusCode::OK, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

async fn get_table(state: &ApiState, path: &str) -> Value {
    let response = respond(state, "GET", path, TABLE).await;
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

fn a_state() -> ApiState {
    state(board(), "/nowhere".into())
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lists_are_kubernetes_lists_at_a_version() {
    let state = a_state();
    for (path, kind, api_version, expected) in [
        ("/api/v1/pods", "PodList", "v1", vec!["web-x1", "logs-x2"]),
        ("/api/v1/namespaces/kube-system/pods", "PodList", "v1", vec!["logs-x2"]),
        ("/api/v1/namespaces/nowhere/pods", "PodList", "v1", vec![]),
        ("/api/v1/nodes", "NodeList", "v1", vec!["node-1"]),
        ("/apis/apps/v1/daemonsets", "DaemonSetList", "apps/v1", vec!["web", "logs"]),
        ("/apis/apps/v1/namespaces/default/daemonsets", "DaemonSetList", "apps/v1", vec!["web"]),
        ("/api/v1/pods?labelSelector=app%20in%20(logs-x2)", "PodList", "v1", vec!["logs-x2"]),
        ("/api/v1/pods?fieldSelector=metadata.namespace!%3Ddefault", "PodList", "v1", vec!["logs-x2"]),
        (
            "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1&limit=500",
            "PodList",
            "v1",
            vec!["web-x1", "logs-x2"],
        ),
    ] {
        let list = get(&state, path).await;
        assert_eq!((&list["kind"], &list["apiVersion"]), (&json!(kind), &json!(api_version)), "{path}");
        assert_eq!(names(&list), expected, "{path}");
        let version = state.board.list(crate::board::ItemKind::Pod).resource_version;
        assert_eq!(list["metadata"]["resourceVersion"], json!(version.to_string()), "{path}");
    }
}

#[tokio::test]
async fn events_are_found_by_their_object_and_the_latest_is_last() {
    let state = a_state();
    let list =
        get(&state, "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dweb-x1").await;
    assert_eq!(list["items"][0]["reason"], "BackOff");
    let list = get(&state, "/api/v1/events?fieldSelector=involvedObject.name%3Dother").await;
    assert_eq!(names(&list), Vec::<&str>::new());
}

#[tokio::test]
async fn an_object_is_itself() {
    let state = a_state();
    for (path, kind, name) in [
        ("/api/v1/namespaces/default/pods/web-x1", "Pod", "web-x1"),
        ("/api/v1/nodes/node-1", "Node", "node-1"),
        ("/apis/apps/v1/namespaces/kube-system/daemonsets/logs", "DaemonSet", "logs"),
    ] {
        let object = get(&state, path).await;
        assert_eq!((&object["kind"], &object["metadata"]["name"]), (&json!(kind), &json!(name)));
        assert!(object["metadata"]["resourceVersion"].is_string());
    }
    let events = get(&state, "/api/v1/events").await;
    let name = names(&events)[0];
    assert_eq!(
        get(&state, &format!("/api/v1/namespaces/default/events/{name}")).await["metadata"]["name"],
        name
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_in_kubernetes_words() {
    let state = a_state();
    for (path, code, reason, message) in [
        ("/apis/apps/v1/namespaces/default/daemonsets/x", 404, "NotFound", "daemonsets.apps \"x\" not found"),
        ("/api/v1/namespaces/default/pods/x", 404, "NotFound", "pods \"x\" not found"),
        ("/api/v1/services", 404, "NotFound", "the server could not find the requested resource"),
        (
            "/api/v1/pods?labelSelector=%3D",
            400,
            "BadRequest",
            "unable to parse requirement \"=\": found no label key",
        ),
        ("/api/v1/pods?fieldSelector=a%3Db", 400, "BadRequest", "field label not supported: a"),
        ("/apis/daemonlet.dev/v1/explanations/default/x", 404, "NotFound", "daemonsets.apps \"x\" not found"),
        (
            "/apis/daemonlet.dev/v1/explanations/kube-system/logs",
            404,
            "NotFound",
            "explanations.daemonlet.dev \"logs\" not found",
        ),
    ] {
        let (status, text) = text(&state, path).await;
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status.as_u16(), code, "{path}");
        assert_eq!(body["kind"], "Status", "{path}");
        assert_eq!((&body["reason"], &body["message"]), (&json!(reason), &json!(message)), "{path}");
        assert_eq!(body["code"], code, "{path}");
    }
}

#[tokio::test]
async fn what_the_store_says_can_not_be_written() {
    let state = a_state();
    for (method, path) in [
        ("POST", "/api/v1/namespaces/default/pods"),
        ("PUT", "/api/v1/namespaces/default/pods/web-x1"),
        ("PATCH", "/api/v1/namespaces/default/pods/web-x1"),
        ("DELETE", "/apis/apps/v1/namespaces/default/daemonsets/web"),
        ("DELETE", "/api/v1/nodes/node-1"),
    ] {
        let response = respond(&state, method, path, "*/*").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
    }
    assert!(state.board.pod("default", "web-x1").is_some());
}

#[tokio::test]
async fn a_patch_of_the_node_says_what_cannot_be_patched() {
    let state = a_state();
    let patch = async |name: &str, content_type: &str, body: Value| {
        let request =
            Request::patch(format!("/api/v1/nodes/{name}")).header(header::CONTENT_TYPE, content_type);
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = router(state.clone()).oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice::<Value>(&body).unwrap()["message"].as_str().unwrap().to_owned())
    };
    let merge = "application/strategic-merge-patch+json";
    let cordon = json!({"spec": {"unschedulable": true}});
    for (name, content_type, body, code, part) in [
        ("other", merge, cordon.clone(), 404, "nodes \"other\" not found"),
        ("node-1", "application/json-patch+json", json!([]), 415, "accepted media types"),
        ("node-1", merge, json!({"spec": {"podCIDR": "x"}}), 400, "spec.podCIDR: only metadata.labels"),
        ("node-1", merge, cordon, 503, "the agent is not ready for this yet"),
    ] {
        let (found, message) = patch(name, content_type, body.clone()).await;
        assert_eq!(found, code, "{name} {body}: {message}");
        assert!(message.contains(part), "{name} {body}: {message}");
    }
}

#[tokio::test]
async fn an_agent_that_cannot_obey_yet_says_so() {
    let state = a_state();
    let response = respond(&state, "DELETE", "/api/v1/namespaces/default/pods/web-x1", "*/*").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_table_has_columns_rows_and_what_was_asked_of_each_object() {
    let state = a_state();
    let table = get_table(&state, "/api/v1/namespaces/default/pods").await;
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(table["columnDefinitions"][0]["format"], "name");
    assert_eq!(table["rows"][0]["cells"].as_array().unwrap()[..3], ["web-x1", "1/1", "Running"]);
    let object = &table["rows"][0]["object"];
    assert_eq!(object["kind"], "PartialObjectMetadata");
    assert_eq!(object["metadata"]["namespace"], "default");
    assert!(object["spec"].is_null());

    let table = get_table(&state, "/api/v1/namespaces/default/pods/web-x1?includeObject=Object").await;
    assert_eq!(table["rows"][0]["object"]["spec"]["nodeName"], "node-1");
    let table = get_table(&state, "/api/v1/nodes?includeObject=None").await;
    assert!(table["rows"][0].get("object").is_none());
}

#[tokio::test]
async fn discovery_tells_kubectl_what_there_is() {
    let state = a_state();
    assert_eq!(get(&state, "/api").await["versions"], json!(["v1"]));
    let groups = get(&state, "/apis").await;
    assert_eq!(groups["groups"][0]["preferredVersion"]["groupVersion"], "apps/v1");
    assert_eq!(get(&state, "/apis/apps").await["name"], "apps");
    for (path, resource, short_name, namespaced) in [
        ("/api/v1", "pods", "po", true),
        ("/api/v1", "nodes", "no", false),
        ("/api/v1", "events", "ev", true),
        ("/apis/apps/v1", "daemonsets", "ds", true),
    ] {
        let list = get(&state, path).await;
        let resources = list["resources"].as_array().unwrap();
        let found = resources.iter().find(|found| found["name"] == resource).unwrap();
        assert_eq!((&found["shortNames"], &found["namespaced"]), (&json!([short_name]), &json!(namespaced)));
    }
    assert_eq!(get(&state, "/apis/daemonlet.dev/v1").await["kind"], "APIResourceList");
    let version = get(&state, "/version").await;
    assert_eq!((&version["major"], &version["daemonletVersion"]), (&json!("1"), &json!("0.0.0")));
}

#[tokio::test]
async fn an_explanation_is_the_verdict_with_the_daemon_set_and_the_node() {
    let mut explanation = get(&a_state(), "/apis/daemonlet.dev/v1/explanations/default/web").await;
    let reasons = explanation["reasons"].take();
    assert!(reasons[0].as_str().unwrap().contains("gpu"), "{reasons}");
    assert_eq!(
        explanation,
        json!({
            "kind": "Explanation", "apiVersion": "daemonlet.dev/v1", "daemonSet": "default/web", "node": "node-1",
            "shouldRun": false, "shouldContinueRunning": true, "fitsName": true, "affinityMatch": true,
            "untoleratedTaint": {"key": "gpu", "value": "", "effect": "NoSchedule"},
            "reasons": null,
        })
    );
}

#[tokio::test]
async fn the_agents_status_names_its_store_and_runtime_and_every_problem() {
    use crate::board::StoreStatus;
    use crate::manifest::{Problem, Severity};
    use crate::store::{Freshness, IgnoredFile};

    let state = a_state();
    state.board.set_store_status(StoreStatus {
        source: "/m".into(),
        freshness: Freshness::LastGood { reason: "/m is not mounted".into() },
        refused: None,
        problems: vec![Problem {
            severity: Severity::Error,
            file: std::path::Path::new("/m/a.yaml").into(),
            line: 3,
            field: "spec.selector".into(),
            message: "Required value".into(),
            object: None,
        }],
        ignored: vec![IgnoredFile { path: "/m/a.yaml~".into(), reason: "an editor's back-up".into() }],
        objects: 5,
        held: None,
    });
    let status = get(&state, "/apis/daemonlet.dev/v1/status").await;
    assert_eq!(status["ready"], true);
    assert_eq!(status["store"]["freshness"], "LastGood");
    assert_eq!(status["store"]["reason"], "/m is not mounted");
    assert_eq!(status["store"]["problems"][0]["file"], "/m/a.yaml");
    assert_eq!(status["store"]["ignored"][0]["path"], "/m/a.yaml~");
    assert_eq!(status["runtime"]["version"], "containerd://2.0.5");
    assert_eq!((&status["daemonSets"], &status["pods"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn health_is_liveness_and_readiness() {
    let state = a_state();
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(text(&state, path).await, (StatusCode::OK, "ok".to_owned()), "{path}");
    }
    let (_, verbose) = text(&state, "/readyz?verbose").await;
    assert_eq!(verbose, "[+]store ok\nreadyz check passed\n");
    state.board.set_pending("runtime", "no answer yet on its socket");
    let (code, why) = text(&state, "/readyz").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(why, "[-]runtime failed: no answer yet on its socket\n[+]store ok\nreadyz check failed\n");
    assert_eq!(text(&state, "/livez").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let state = a_state();
    let response = respond(&state, "GET", "/metrics", "*/*").await;
    assert!(
        response.headers()[header::CONTENT_TYPE]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let (_, text) = text(&state, "/metrics").await;
    assert!(text.contains("daemonlet_pods{phase=\"Running\"} 2"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    for part in
        ["daemonlet_runtime_up 1\n", "daemonlet_store_removals_held 0\n", "daemonlet_daemonset_available{"]
    {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let resident = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    assert!(resident.is_some_and(|bytes| bytes.parse::<u64>().unwrap() > 1 << 20), "{text}");
    let response = respond(&state, "GET", "/metrics", "text/plain;version=0.0.4").await;
    assert!(response.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
}

#[tokio::test]
async fn the_socket_goes_when_the_agent_stops() {
    let agent = Agent::start();
    let socket = agent.socket.clone();
    assert!(socket.exists());
    agent.stop().await;
    assert!(!socket.exists());
}
