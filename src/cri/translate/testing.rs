//! Small pods for the tests of this room.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// A container of this name with these `resources`, written as JSON.
pub(crate) fn container(name: &str, resources: &str) -> Container {
    Container {
        name: name.to_owned(),
        resources: Some(serde_json::from_str(resources).unwrap()),
        ..Container::default()
    }
}

/// A spec with these containers.
pub(crate) fn pod_spec(containers: Vec<Container>) -> PodSpec {
    PodSpec { containers, enable_service_links: Some(true), ..PodSpec::default() }
}

/// A pod with this spec, called `ns/p`.
pub(crate) fn pod(spec: PodSpec) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some("p".to_owned()),
            namespace: Some("ns".to_owned()),
            uid: Some("uid-1".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}
