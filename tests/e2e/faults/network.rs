//! CNI plugins that are absent or fail, and work in the end.

use std::fs;

use daemonlet::cri::Detail;
use k8s_openapi::api::core::v1::Pod;

use super::SPEC;
use crate::kit::{Node, daemon_set, wait_until};

/// Pending, as a kubelet shows it: nothing of it runs, and its container is said to be made.
fn is_pending(pod: &Pod) -> bool {
    let status = pod.status.clone().unwrap_or_default();
    let waits = status.container_statuses.unwrap_or_default().into_iter().all(|container| {
        let waiting = container.state.and_then(|state| state.waiting);
        waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("ContainerCreating"))
    });
    status.phase.as_deref() == Some("Pending") && waits
}

#[test]
fn a_pod_whose_network_can_not_be_made_says_why_and_runs_when_it_can() {
    let Some(node) = Node::start() else { return };
    let path = node.path("cni/10-test.conflist");
    let good = fs::read_to_string(&path).unwrap();
    // containerd doesn't hear of a file that is renamed into place, and reads one that is written only after a while.
    let replace = |text: &str| {
        fs::write(&path, text).unwrap();
        wait_until("containerd has read it", || {
            let status = node.containerd.ask(async |cri| cri.status(Detail::Verbose).await.unwrap());
            let read = status.info.get("cniconfig").cloned().unwrap_or_default();
            read.contains(node.slot().bridge().as_str()) != text.contains("a-name-too-long")
                && read.contains("no-such-plugin") == text.contains("no-such-plugin")
        });
    };
    let host = SPEC.replace("containers:", "hostNetwork: true\ncontainers:");
    // The first plugin has done its part when the second is found to be absent; and one that fails by itself.
    let absent = good.replace("}]}", "}, {\"type\": \"no-such-plugin\"}]}");
    let failing = good.replace(&format!("\"{}\"", node.slot().bridge()), "\"a-name-too-long-for-a-link\"");
    assert!(absent != good && failing != good, "{good}");
    // Since 1.7 containerd takes back no part of a network that was never made whole; what its plugins had given then is lost.
    let version = node.containerd.ask(async |cri| cri.version().await.unwrap().runtime_version);
    let takes_back = ["1.5.", "1.6."].iter().any(|old| version.trim_start_matches('v').starts_with(old));
    let wait_exact = || node.wait_exact_but(|line| !takes_back && line.contains("addresses taken"));
    for (round, (broken, why)) in
        [(absent, "no-such-plugin"), (failing, "a-name-too-long-for-a-link")].iter().enumerate()
    {
        replace(broken);
        let (app, host_app) = (format!("app{round}"), format!("host{round}"));
        node.apply("app.yaml", daemon_set(&app, SPEC));
        node.agent.wait_event(&app, "FailedCreatePodSandBox", |said| {
            said.starts_with("Failed to create pod sandbox: ")
                && said.contains("failed to setup network for sandbox")
                && said.contains(why)
        });
        node.agent.wait_pod(&app, "Pending", is_pending);
        // Others need no network of their own.
        node.apply("host.yaml", daemon_set(&host_app, &host));
        node.agent.wait_ready(&host_app);
        replace(&good);
        node.agent.wait_ready(&app);
        wait_exact();
        // One whose network never came goes as soon as the plugins can take back what there is of it, as with a kubelet.
        replace(broken);
        node.apply("never.yaml", daemon_set("never", SPEC));
        node.agent.wait_event("never", "FailedCreatePodSandBox", |said| said.contains(why));
        node.delete("never.yaml");
        node.agent.wait_pods("never", "being deleted", |pods| {
            pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_some())
        });
        replace(&good);
        node.agent.wait_gone("never");
        wait_exact();
    }
}

#[test]
fn a_pod_waits_for_a_network_that_is_not_configured_yet() {
    let Some(mut node) = Node::prepared("") else { return };
    let (path, aside) = (node.path("cni/10-test.conflist"), node.path("aside.conflist"));
    fs::rename(&path, &aside).unwrap();
    node.containerd.restart();
    node.apply("app.yaml", daemon_set("app", SPEC));
    node.agent.launch();
    node.agent.wait_event("app", "NetworkNotReady", |said| said.starts_with("network is not ready: "));
    node.agent.wait_pod("app", "Pending", is_pending);
    assert!(node.sandboxes().is_empty());
    fs::copy(&aside, &path).unwrap();
    node.agent.wait_ready("app");
    node.wait_exact();
}
