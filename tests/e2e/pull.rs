//! Images from a registry: how far a pull is, what it is broken off for, and whose credentials open a private one.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::kit::{Node, Registry, daemon_set, is_ready, wait_until};

const SPEC: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: IMAGE
  command: [sleep, infinity]
";

fn spec(registry: &Registry, tag: &str) -> String {
    SPEC.replace("IMAGE", &registry.image(tag))
}

/// The reason and the message of what the pod's container waits for.
fn waiting(pod: &Pod) -> Option<(String, String)> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    let waiting = container.state.as_ref()?.waiting.clone()?;
    Some((waiting.reason?, waiting.message.unwrap_or_default()))
}

fn waits_for(pod: &Pod, reason: &str) -> bool {
    waiting(pod).is_some_and(|(found, _)| found == reason)
}

/// What opens `registry` to `ada`, as `docker login` writes it.
fn logins(registry: &Registry) -> String {
    let login = BASE64_STANDARD.encode("ada:lovelace");
    json!({"auths": {registry.address().to_string(): {"auth": login}}}).to_string()
}

#[test]
fn a_pull_shows_how_far_it_is_and_is_broken_off_with_its_pod() {
    let Some(node) = Node::start() else { return };
    let registry = Registry::open(node.slot().dir());
    registry.hold_up(true);
    node.apply("app.yaml", daemon_set("app", &spec(&registry, "1")));
    let pod = node.agent.wait_pod("app", "told how far the pull is", |pod| {
        waiting(pod).is_some_and(|(_, message)| message.contains("received 1.0 MB of 2."))
    });
    assert!(waits_for(&pod, "ContainerCreating"));
    let shown = node.agent.says(&["get", "pods", "-n", "test"]);
    assert!(shown.contains("ContainerCreating (1.0 MB of 2."), "{shown}");
    let shown = node.agent.says(&["describe", "pods", "-n", "test"]);
    assert!(shown.contains("received 1.0 MB of 2."), "{shown}");

    node.delete("app.yaml");
    node.agent.wait_gone("app");
    wait_until("the registry is no longer asked", || registry.sending() == 0);
    // The next one is not held up, and finds nothing in its way.
    registry.hold_up(false);
    node.apply("app.yaml", daemon_set("app", &spec(&registry, "1")));
    node.agent.wait_ready("app");
}

#[test]
fn a_private_image_is_pulled_once_the_store_has_the_secret() {
    let Some(node) = Node::start() else { return };
    let registry = Registry::private(node.slot().dir(), "ada", "lovelace");
    let spec = format!("imagePullSecrets: [{{name: login}}]{}", spec(&registry, "1"));
    node.apply("app.yaml", daemon_set("app", &spec));
    node.agent.wait_pod("app", "refused", |pod| waits_for(pod, "ErrImagePull"));
    node.agent.wait_pod("app", "backing off", |pod| waits_for(pod, "ImagePullBackOff"));
    node.agent.wait_event("app-", "FailedToRetrieveImagePullSecret", |message| message.contains("(login)"));
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "login", "namespace": "test"},
        "stringData": {".dockerconfigjson": logins(&registry)},
    });
    node.apply("login.json", secret.to_string());
    node.agent.wait_ready("app");
    node.agent.wait_event("app-", "Pulled", |message| message.starts_with("Successfully pulled image"));
}

#[test]
fn a_private_image_is_pulled_with_the_nodes_own_credentials() {
    let Some(mut node) = Node::prepared("") else { return };
    let registry = Registry::private(node.slot().dir(), "ada", "lovelace");
    let file = node.path("logins.json");
    std::fs::write(&file, logins(&registry)).unwrap();
    node.agent.configure(&format!("imageCredentialsFile: {}\n", file.display()));
    node.apply("app.yaml", daemon_set("app", &spec(&registry, "1")));
    node.agent.launch();
    let pod = node.agent.wait_ready("app");
    assert!(is_ready(&pod));
}
