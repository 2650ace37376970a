//! What the API serves, for clients that ask before they call.

use axum::response::Response;
use serde_json::{Value, json};

use super::ApiState;
use super::objects::json;
use super::resource::{RESOURCES, ResourceType};
use crate::board::ItemKind;

/// The group of what only daemonlet knows.
pub(super) const OWN_GROUP: &str = "daemonlet.dev";

/// `/api`
pub(super) fn core_versions() -> Response {
    json(&json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}))
}

/// `/apis`
pub(super) fn groups() -> Response {
    json(&json!({
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [group("apps"), group(OWN_GROUP)],
    }))
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

/// `/apis/<group>`
pub(super) fn one_group(name: &str) -> Response {
    let mut group = group(name);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    json(&group)
}

/// `/api/v1` and `/apis/<group>/v1`
pub(super) fn resources(group: &str) -> Response {
    let mut resources: Vec<Value> =
        RESOURCES.into_iter().filter(|resource| resource.group == group).map(resource).collect();
    if group.is_empty() {
        resources.push(json!({
            "name": "pods/log", "singularName": "", "namespaced": true, "kind": "Pod", "verbs": ["get"],
        }));
    }
    if group == "apps" {
        resources.push(json!({
            "name": "controllerrevisions", "singularName": "controllerrevision", "namespaced": true,
            "kind": "ControllerRevision", "verbs": ["get", "list"],
        }));
    }
    let group_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    json(&json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }))
}

fn resource(resource: &ResourceType) -> Value {
    json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.is_namespaced,
        "kind": resource.kind,
        "verbs": match resource.item {
            ItemKind::Pod => &["delete", "get", "list", "watch"][..],
            ItemKind::DaemonSet | ItemKind::Node => &["get", "list", "patch", "watch"],
            ItemKind::Event => &["get", "list", "watch"],
        },
        "shortNames": [resource.short_name],
    })
}

/// `/version`: the Kubernetes whose API this is, and the daemonlet that serves it.
pub(super) fn version(state: &ApiState) -> Response {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json(&json!({
        "major": "1",
        "minor": "34",
        "gitVersion": format!("v1.34.0+daemonlet.{}", state.version),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("{}/{architecture}", std::env::consts::OS),
        "daemonletVersion": state.version,
    }))
}
