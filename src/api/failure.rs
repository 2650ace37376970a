//! Errors as Kubernetes' `Status` objects, in the API server's words.
//!
//! Rule: apimachinery's `pkg/api/errors/errors.go`.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, StatusDetails};

use super::resource::ResourceType;
use crate::board::TooOld;

/// Why a request can't be answered as asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Option<Box<StatusDetails>>,
}

impl Failure {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    /// There is no object of this name.
    pub(super) fn not_found(resource: &ResourceType, name: &str) -> Self {
        Self::not_found_as(&resource.qualified(), resource.group, resource.plural, name)
    }

    /// There is no object of this name, of a resource that is not Kubernetes'.
    pub(super) fn not_found_as(qualified: &str, group: &str, plural: &str, name: &str) -> Self {
        Self {
            details: Some(Box::new(StatusDetails {
                name: Some(name.to_owned()),
                group: Some(group.to_owned()).filter(|group| !group.is_empty()),
                kind: Some(plural.to_owned()),
                ..StatusDetails::default()
            })),
            ..Self::new(StatusCode::NOT_FOUND, "NotFound", format!("{qualified} {name:?} not found"))
        }
    }

    /// The same, with more to say.
    pub(super) fn because(mut self, why: &str) -> Self {
        self.message = format!("{}: {why}", self.message);
        self
    }

    /// The object may not be changed so.
    pub(super) fn forbidden(resource: &ResourceType, name: &str, why: &str) -> Self {
        let qualified = resource.qualified();
        Self {
            details: Some(Box::new(StatusDetails {
                name: Some(name.to_owned()),
                group: Some(resource.group.to_owned()).filter(|group| !group.is_empty()),
                kind: Some(resource.plural.to_owned()),
                ..StatusDetails::default()
            })),
            ..Self::new(
                StatusCode::FORBIDDEN,
                "Forbidden",
                format!("{qualified} {name:?} is forbidden: {why}"),
            )
        }
    }

    /// There is nothing at this path.
    pub(super) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    /// The path is known, and can only be read.
    pub(super) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource: \
                       the node's objects are what its manifests say";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// The request makes no sense.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// The body is in no form that is understood here.
    pub(super) fn unsupported_media_type(content_type: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format {content_type:?} - accepted media types include: \
             application/merge-patch+json, application/strategic-merge-patch+json"
        );
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// What the object would become is not allowed.
    pub(super) fn invalid(resource: &ResourceType, name: &str, problems: &[String]) -> Self {
        let qualified = if resource.group.is_empty() {
            resource.kind.to_owned()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let problems = match problems {
            [one] => one.clone(),
            all => format!("[{}]", all.join(", ")),
        };
        let message = format!("{qualified} {name:?} is invalid: {problems}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    /// What is there now stands against it.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message)
    }

    /// It can't be done yet.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    /// Others must finish first.
    pub(super) fn too_many_requests(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
    }

    /// What should work did not.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// The watcher has missed too much and must list again.
    pub(super) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// The failure on the wire.
    pub(super) fn status(&self) -> Status {
        Status {
            status: Some("Failure".to_owned()),
            message: Some(self.message.clone()),
            reason: Some(self.reason.to_owned()),
            details: self.details.as_deref().cloned(),
            code: Some(self.code.as_u16().into()),
            ..Status::default()
        }
    }
}

impl From<TooOld> for Failure {
    fn from(error: TooOld) -> Self {
        Self::expired(error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.status()).unwrap_or_default();
        (self.code, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
