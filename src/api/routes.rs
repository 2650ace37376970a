//! Which path is answered by what.

use std::collections::HashMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, Query as AxumQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::routing::{MethodRouter, get, post};

use super::failure::Failure;
use super::options::Query;
use super::resource::{PODS, RESOURCES, ResourceType};
use super::{ApiState, agent, discovery, health, holds, log, objects, revisions, writes};
use crate::board::ItemKind;

const REVISIONS: &str = "/apis/apps/v1/controllerrevisions";
const REVISIONS_OF_ONE: &str = "/apis/apps/v1/namespaces/{namespace}/controllerrevisions";

/// All paths.
pub(super) fn router(state: ApiState) -> Router {
    let own = format!("/apis/{}", discovery::OWN_GROUP);
    let mut router = Router::new()
        .route("/healthz", get(|| async { health::live() }))
        .route("/livez", get(|| async { health::live() }))
        .route(
            "/readyz",
            get(async |State(state): State<ApiState>, asked: Asked| health::ready(&state, &asked.query)),
        )
        .route(
            "/metrics",
            get(async |State(state): State<ApiState>, headers: HeaderMap| health::metrics(&state, &headers)),
        )
        .route("/version", get(async |State(state): State<ApiState>| discovery::version(&state)))
        .route("/api", get(|| async { discovery::core_versions() }))
        .route("/apis", get(|| async { discovery::groups() }))
        .route("/apis/apps", get(|| async { discovery::one_group("apps") }))
        .route(&own, get(|| async { discovery::one_group(discovery::OWN_GROUP) }))
        .route("/api/v1", get(|| async { discovery::resources("") }))
        .route("/apis/apps/v1", get(|| async { discovery::resources("apps") }))
        .route(&format!("{own}/v1"), get(|| async { discovery::resources(discovery::OWN_GROUP) }))
        .route(&format!("{own}/v1/status"), get(async |State(state): State<ApiState>| agent::status(&state)))
        .route(
            &format!("{own}/v1/explanations/{{namespace}}/{{name}}"),
            get(async |State(state): State<ApiState>, asked: Asked| {
                agent::explanation(&state, asked.namespace(), asked.name())
            }),
        );
    router = router
        .route(
            &format!("{own}/v1/store/confirm"),
            post(async |State(state): State<ApiState>| writes::confirm_removals(&state).await),
        )
        .route(
            &format!("{own}/v1/store/allow-older"),
            post(async |State(state): State<ApiState>| writes::allow_older_store(&state).await),
        )
        .route(
            &format!("{own}/v1/holds"),
            get(async |State(state): State<ApiState>| holds::list(&state).await)
                .post(async |State(state): State<ApiState>, body: Bytes| holds::put(&state, &body).await)
                .delete(async |State(state): State<ApiState>, asked: Asked| {
                    holds::release(&state, &asked.query).await
                }),
        )
        .route(
            REVISIONS,
            get(async |State(state): State<ApiState>, asked: Asked| {
                revisions::list(&state, None, &asked.query).await
            }),
        )
        .route(
            REVISIONS_OF_ONE,
            get(async |State(state): State<ApiState>, asked: Asked| {
                revisions::list(&state, Some(asked.namespace()), &asked.query).await
            }),
        )
        .route(
            &format!("{REVISIONS_OF_ONE}/{{name}}"),
            get(async |State(state): State<ApiState>, asked: Asked| {
                revisions::get(&state, asked.namespace(), asked.name()).await
            }),
        );
    for resource in RESOURCES {
        let all = resource.path(None);
        router = router.route(&all, list(resource));
        if resource.is_namespaced {
            let one_namespace = resource.path(Some("{namespace}"));
            router = router
                .route(&one_namespace, list(resource))
                .route(&format!("{one_namespace}/{{name}}"), one(resource));
        } else {
            router = router.route(&format!("{all}/{{name}}"), one(resource));
        }
    }
    let pod_log = get(async |State(state): State<ApiState>, asked: Asked| {
        log::log(&state, asked.namespace(), asked.name(), &asked.query).await
    });
    router
        .route(&format!("{}/{{name}}/log", PODS.path(Some("{namespace}"))), pod_log)
        .fallback(|| async { Failure::no_such_path() })
        .method_not_allowed_fallback(|| async { Failure::method_not_allowed() })
        .with_state(state)
}

fn list(resource: &'static ResourceType) -> MethodRouter<ApiState> {
    get(async move |State(state): State<ApiState>, asked: Asked| {
        let namespace = asked.path.get("namespace").map(String::as_str);
        objects::list(&state, resource, namespace, &asked.query, asked.accept())
    })
}

fn one(resource: &'static ResourceType) -> MethodRouter<ApiState> {
    let one = get(async move |State(state): State<ApiState>, asked: Asked| {
        objects::get(&state, resource, asked.namespace(), asked.name(), &asked.query, asked.accept())
    });
    match resource.item {
        ItemKind::Pod => one.delete(async |State(state): State<ApiState>, asked: Asked, body: Bytes| {
            writes::delete_pod(&state, asked.namespace(), asked.name(), &asked.query, &body).await
        }),
        ItemKind::DaemonSet => {
            one.patch(async |State(state): State<ApiState>, asked: Asked, headers: HeaderMap, body: Bytes| {
                let (namespace, name) = (asked.namespace(), asked.name());
                writes::patch_daemon_set(&state, namespace, name, &asked.query, &headers, &body).await
            })
        }
        ItemKind::Node => {
            one.patch(async |State(state): State<ApiState>, asked: Asked, headers: HeaderMap, body: Bytes| {
                writes::patch_node(&state, asked.name(), &headers, &body).await
            })
        }
        ItemKind::Event => one,
    }
}

/// What a request says beside its path's fixed words.
struct Asked {
    path: HashMap<String, String>,
    query: Query,
    accept: Option<String>,
}

impl Asked {
    fn namespace(&self) -> &str {
        self.path.get("namespace").map(String::as_str).unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.path.get("name").map(String::as_str).unwrap_or_default()
    }

    fn accept(&self) -> Option<&str> {
        self.accept.as_deref()
    }
}

impl FromRequestParts<ApiState> for Asked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Failure> {
        let path = Option::<Path<HashMap<String, String>>>::from_request_parts(parts, state)
            .await
            .map_err(|error| Failure::bad_request(error.to_string()))?;
        let AxumQuery(query) = AxumQuery::<Query>::from_request_parts(parts, state)
            .await
            .map_err(|error| Failure::bad_request(error.to_string()))?;
        let accept =
            parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).map(str::to_owned);
        Ok(Self { path: path.map(|Path(path)| path).unwrap_or_default(), query, accept })
    }
}
