//! Images that are not to be had, and then are.

use std::time::Duration;

use daemonlet::cri::Method;
use daemonlet::pod::worker::Wake;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::rig::{Machine, one_container, waiting};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_fails_shows_why_then_waits_ever_longer_and_recovers() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.fail(Method::PullImage, 3, "manifest unknown");
    let pod = agent.run(&one_container(&json!({})));

    let shown = agent.until_waiting(&pod, "main", "ErrImagePull").await;
    assert_eq!(waiting(&shown, "main").expect("waiting").1, "manifest unknown");
    let shown = agent.until_waiting(&pod, "main", "ImagePullBackOff").await;
    assert_eq!(
        waiting(&shown, "main").expect("waiting").1,
        "Back-off pulling image \"registry.example/app:1\": ErrImagePull: manifest unknown"
    );
    agent.until_ready(&pod).await;
    assert_eq!(machine.times(Method::PullImage), [0.0, 10.0, 30.0, 70.0]);
    assert_eq!(agent.told("Failed", "Failed to pull image \"registry.example/app:1\": manifest unknown"), 3);
    assert_eq!(agent.told("Failed", "Error: ErrImagePull"), 3);
    assert_eq!(agent.told("BackOff", "Back-off pulling image \"registry.example/app:1\""), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_with_its_code_where_that_says_something() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let auths = |user: &str, registry: &str| {
        format!(r#"{{"auths": {{"{registry}": {{"username": "{user}", "password": "p"}}}}}}"#)
    };
    std::fs::write(machine.path().join("root/config.json"), auths("node", "registry.example/app"))
        .expect("written");
    agent.store(&format!(
        "{{apiVersion: v1, kind: Secret, type: kubernetes.io/dockerconfigjson, metadata: {{name: pull}}, stringData: {{.dockerconfigjson: {:?}}}}}",
        auths("own", "registry.example")
    ));
    machine.runtime.fail_with(Method::PullImage, 1000, tonic::Status::not_found("no such manifest"));
    let mut spec = one_container(&json!({}));
    spec["imagePullSecrets"] = json!([{"name": "pull"}]);
    let pod = agent.run(&spec);
    let shown = agent.until_waiting(&pod, "main", "ErrImagePull").await;
    assert_eq!(machine.runtime.count(Method::PullImage), 2, "with each credential");
    let message = "rpc error: code = NotFound desc = no such manifest";
    assert_eq!(waiting(&shown, "main").expect("waiting").1, message, "what all say is told once");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_inspected_is_told_with_the_code() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.fail(Method::ImageStatus, 1000, "metadata is broken");
    let pod = agent.run(&one_container(&json!({})));
    let shown = agent.until_waiting(&pod, "main", "ImageInspectError").await;
    let message = "Failed to inspect image \"registry.example/app:1\": rpc error: code = Unknown desc = metadata is broken";
    assert_eq!(waiting(&shown, "main").expect("waiting").1, message);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_imported_by_hand_is_found_within_a_minute() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.fail(Method::PullImage, 1000, "no route to host");
    let pod = agent.run(&one_container(&json!({})));
    sleep(s(700)).await;
    let pulls = machine.runtime.count(Method::PullImage);
    machine.runtime.preload("registry.example/app:1");
    let imported = Instant::now();
    agent.until_ready(&pod).await;
    assert!(imported.elapsed() <= s(60), "{:?}", imported.elapsed());
    assert_eq!(machine.runtime.count(Method::PullImage), pulls);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_an_archive_brings_is_found_at_once() {
    for policy in ["IfNotPresent", "Never"] {
        let machine = Machine::boot();
        let agent = machine.start_agent().await;
        machine.runtime.fail(Method::PullImage, 1000, "no route to host");
        let pod = agent.run(&one_container(&json!({"imagePullPolicy": policy})));
        sleep(s(701)).await;
        machine.runtime.preload("registry.example/app:1");
        let imported = Instant::now();
        agent.wake(&pod, Wake::ImagesCame);
        agent.until_ready(&pod).await;
        assert!(imported.elapsed() < s(1), "{policy}: {:?}", imported.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn never_means_never() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({"imagePullPolicy": "Never"})));
    let shown = agent.until_waiting(&pod, "main", "ErrImageNeverPull").await;
    let message = "Container image \"registry.example/app:1\" is not present with pull policy of Never";
    assert_eq!(waiting(&shown, "main").expect("waiting").1, message);
    sleep(s(120)).await;
    assert_eq!(agent.told("ErrImageNeverPull", message), 1, "told once though it was looked for often");
    machine.runtime.preload("registry.example/app:1");
    agent.until_ready(&pod).await;
    assert_eq!(machine.runtime.count(Method::PullImage), 0);
}

#[tokio::test(start_paused = true)]
async fn one_image_that_is_not_to_be_had_holds_up_no_other_container() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&json!({"containers": [
        {"name": "main", "image": "registry.example/app:1", "imagePullPolicy": "Never"},
        {"name": "other", "image": "registry.example/other:1"}]}));
    machine.until("the other runs", |state| state.is_running("other")).await;
    agent.until_waiting(&pod, "main", "ErrImageNeverPull").await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_none_is_told_and_asks_nobody() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let pod = agent.run(&one_container(&json!({"image": "Registry.example/UPPER:1"})));
    agent.until_waiting(&pod, "main", "InvalidImageName").await;
    sleep(s(120)).await;
    assert_eq!(machine.runtime.count(Method::PullImage) + machine.runtime.count(Method::ImageStatus), 0);
    assert_eq!(agent.events("InspectFailed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_mounted_is_pulled_by_its_volumes_own_policy() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let volume = |policy: &str| {
        let mut spec = one_container(&json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}));
        let image = json!({"reference": "registry.example/data:1", "pullPolicy": policy});
        spec["volumes"] = json!([{"name": "v", "image": image}]);
        spec
    };
    let pod = agent.run(&volume("Never"));
    let shown = agent.until_waiting(&pod, "main", "ErrImageNeverPull").await;
    let message = "Container image \"registry.example/data:1\" is not present with pull policy of Never";
    assert_eq!(waiting(&shown, "main").expect("waiting").1, message);
    machine.runtime.preload("registry.example/data:1");
    agent.until_ready(&pod).await;
    let of_runtime =
        machine.runtime.read(|state| state.image("registry.example/data:1").map(|i| i.id.clone()));
    let mounted = machine.runtime.calls().into_iter().find_map(|call| match call.request {
        daemonlet::cri::fake::Request::CreateContainer(request) => {
            request.config?.mounts.into_iter().find_map(|mount| mount.image)
        }
        _ => None,
    });
    let mounted = mounted.expect("an image is mounted");
    assert_eq!(Some(mounted.image), of_runtime, "what the runtime calls it");
    assert_eq!(mounted.user_specified_image, "registry.example/data:1");
    assert_eq!(machine.runtime.count(Method::PullImage), 1, "the container's own image alone");
}

#[tokio::test(start_paused = true)]
async fn a_pull_secret_from_the_store_is_used() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let config = r#"{"auths": {"registry.example": {"username": "me", "password": "secret"}}}"#;
    agent.store(&format!(
        "{{apiVersion: v1, kind: Secret, type: kubernetes.io/dockerconfigjson, metadata: {{name: pull}}, stringData: {{.dockerconfigjson: {config:?}}}}}"
    ));
    let mut spec = one_container(&json!({}));
    spec["imagePullSecrets"] = json!([{"name": "pull"}]);
    let pod = agent.run(&spec);
    agent.until_ready(&pod).await;
    let auth = machine.runtime.calls().into_iter().find_map(|call| match call.request {
        daemonlet::cri::fake::Request::PullImage(request) => request.auth,
        _ => None,
    });
    let auth = auth.expect("credentials");
    assert_eq!((auth.username.as_str(), auth.password.as_str()), ("me", "secret"));
}

#[tokio::test(start_paused = true)]
async fn the_nodes_credentials_are_tried_after_the_pods_own_and_also_without_any() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let auths = |user: &str, registry: &str| {
        format!(r#"{{"auths": {{"{registry}": {{"username": "{user}", "password": "p"}}}}}}"#)
    };
    let file = machine.path().join("root/config.json");
    std::fs::write(&file, auths("node", "registry.example/app")).expect("written");
    agent.store(&format!(
        "{{apiVersion: v1, kind: Secret, type: kubernetes.io/dockerconfigjson, metadata: {{name: pull}}, stringData: {{.dockerconfigjson: {:?}}}}}",
        auths("own", "registry.example")
    ));
    machine.runtime.fail(Method::PullImage, 1, "unauthorized");
    let mut spec = one_container(&json!({}));
    spec["imagePullSecrets"] = json!([{"name": "pull"}, {"name": "missing"}]);
    let pod = agent.run(&spec);
    agent.until_ready(&pod).await;
    let users = || -> Vec<String> {
        let calls = machine.runtime.calls().into_iter();
        let auths = calls.filter_map(|call| match call.request {
            daemonlet::cri::fake::Request::PullImage(request) => {
                Some(request.auth.map_or_else(String::new, |auth| auth.username))
            }
            _ => None,
        });
        auths.collect()
    };
    assert_eq!(users(), ["own", "node"], "though the node's names the image more closely");
    let message =
        "Unable to retrieve some image pull secrets (missing); attempting to pull the image may not succeed.";
    assert_eq!(agent.told("FailedToRetrieveImagePullSecret", message), 1);

    // A file that makes no sense holds up nothing.
    std::fs::write(&file, "{").expect("written");
    let other = agent.run(&one_container(&json!({"image": "registry.example/other:1"})));
    agent.until_ready(&other).await;
    assert_eq!(users(), ["own", "node", ""]);
    let told = agent.events("FailedToRetrieveImagePullSecret");
    assert!(
        told.iter().any(|event| format!("{event:?}").contains("config.json: not valid registry credentials")),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pull_secret_that_is_none_fails_the_pull_until_it_is_one() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let store = |config: &str| {
        agent.store(&format!(
            "{{apiVersion: v1, kind: Secret, type: kubernetes.io/dockerconfigjson, metadata: {{name: pull}}, stringData: {{.dockerconfigjson: {config:?}}}}}"
        ));
    };
    store(r#"{"auths": ["hunter2"]}"#);
    let mut spec = one_container(&json!({}));
    spec["imagePullSecrets"] = json!([{"name": "pull"}]);
    let pod = agent.run(&spec);
    let shown = agent.until_waiting(&pod, "main", "ErrImagePull").await;
    let message = "use the image pull secret \"pull\": not valid registry credentials: line 1, column 10";
    assert_eq!(waiting(&shown, "main").expect("waiting").1, message);
    let told = format!("Failed to pull image \"registry.example/app:1\": {message}");
    assert_eq!((agent.told("Failed", &told), machine.runtime.count(Method::PullImage)), (1, 0));
    store(r#"{"auths": {"registry.example": {"username": "me", "password": "secret"}}}"#);
    agent.until_ready(&pod).await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_comes_and_goes_is_asked_ever_less_often() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.fail(Method::PullImage, 2, "no route to host");
    let pod = agent.run(&one_container(&json!({"imagePullPolicy": "Always"})));
    agent.until_ready(&pod).await;
    machine.runtime.fail(Method::PullImage, 1, "connection reset");
    machine.runtime.exit("main", 1);
    let shown = agent.until_waiting(&pod, "main", "ImagePullBackOff").await;
    assert!(waiting(&shown, "main").expect("waiting").1.ends_with("ErrImagePull: connection reset"));
    agent.until_ready(&pod).await;
    let times = machine.times(Method::PullImage);
    assert_eq!((times.len(), &times[..3]), (5, &[0.0, 10.0, 30.0][..]));
    assert!((times[4] - times[3] - 40.0).abs() < 0.2, "{times:?}");
    // Ten minutes without trouble, and it is forgotten.
    sleep(s(601)).await;
    machine.runtime.fail(Method::PullImage, 1, "connection reset");
    machine.runtime.exit("main", 1);
    agent.until_waiting(&pod, "main", "ErrImagePull").await;
    agent.until_ready(&pod).await;
    let times = machine.times(Method::PullImage);
    assert!((times[6] - times[5] - 10.0).abs() < 0.2, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_images_than_may_be_are_pulled_at_once() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    machine.runtime.delay(Method::PullImage, s(20));
    let container = |at: usize| json!({"image": format!("registry.example/{at}:1")});
    let pods: Vec<_> =
        (0..12).map(|at| agent.run_named(&format!("app-{at}"), &one_container(&container(at)))).collect();
    for pod in &pods {
        agent.until_ready(pod).await;
    }
    // Five, and each time that one ends the next.
    let times = machine.times(Method::PullImage);
    let begun_by = |second: f64| times.iter().filter(|at| **at < second).count();
    assert_eq!([begun_by(19.0), begun_by(39.0), begun_by(59.0)], [5, 10, 12], "{times:?}");
}
