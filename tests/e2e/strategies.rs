//! Update strategies and deletion, as a client of the API sees them: at no moment more pods, or fewer that are available, than was asked for.

use std::collections::BTreeMap;
use std::thread;

use serde_json::Value;

use crate::kit::{Node, container_ids, daemon_set, is_ready, wait_until};

const SPEC: &str = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
  env: [{name: GREETING, value: WORD}]
";

/// A DaemonSet whose pod says `word`, with further lines of its own spec.
fn with_strategy(word: &str, strategy: &str) -> String {
    let text = daemon_set("app", &SPEC.replace("WORD", word));
    text.replacen("spec:\n", &format!("spec:\n  {strategy}\n"), 1)
}

/// What a pod says once it is ready.
fn word(pod: &k8s_openapi::api::core::v1::Pod) -> Option<&str> {
    let container = pod.spec.as_ref()?.containers.first()?;
    container.env.as_ref()?.first()?.value.as_deref().filter(|_| is_ready(pod))
}

/// How a pod looks to a client of the API that watches: what it says, whether it is ready, and whether it is on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    word: String,
    ready: bool,
    ending: bool,
}

fn sight(pod: &Value) -> Sight {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    Sight {
        word: pod["spec"]["containers"][0]["env"][0]["value"].as_str().unwrap_or_default().to_owned(),
        ready: conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"),
        ending: !pod["metadata"]["deletionTimestamp"].is_null(),
    }
}

/// Updates `app` while another client watches its pods. Gives each different sight of them all, in order, until the one that says `word` is
/// alone and ready.
fn watch_update(node: &Node, manifest: &str, word: &str) -> Vec<Vec<Sight>> {
    let api = node.agent.watcher();
    let wanted = word.to_owned();
    let (looked, has_looked) = std::sync::mpsc::channel();
    let watcher = thread::spawn(move || {
        let mut sights: Vec<Vec<Sight>> = Vec::new();
        let done = api.wait("/api/v1/namespaces/test/pods", |pods: &BTreeMap<String, Value>| {
            let now: Vec<Sight> = pods.values().map(sight).collect();
            let is_over = matches!(&now[..], [only] if only.word == wanted && only.ready);
            if sights.last() != Some(&now) {
                sights.push(now);
            }
            let _ = looked.send(());
            is_over.then_some(())
        });
        done.map(|()| sights)
    });
    has_looked.recv().unwrap();
    node.apply("app.yaml", manifest);
    watcher.join().unwrap().unwrap()
}

#[test]
fn a_surge_has_its_successor_available_before_the_old_pod_stops() {
    let Some(node) = Node::start() else { return };
    let surge = "minReadySeconds: 2\n  updateStrategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}";
    node.apply("app.yaml", with_strategy("one", surge));
    node.agent.wait_daemon_set("app", "available", |object| object["status"]["numberAvailable"] == 1);
    let sights = watch_update(&node, &with_strategy("two", surge), "two");
    let begins = sights.iter().position(|pods| pods.iter().any(|pod| pod.word == "two")).unwrap();
    for pods in &sights[begins..] {
        assert!(pods.len() <= 2, "{sights:#?}");
        assert!(pods.iter().any(|pod| pod.ready && !pod.ending), "one is always available: {sights:#?}");
        let successor_is_ready = pods.iter().any(|pod| pod.word == "two" && pod.ready);
        let old_is_ending = pods.iter().any(|pod| pod.word == "one" && pod.ending);
        assert!(!old_is_ending || successor_is_ready, "{sights:#?}");
    }
    assert!(sights.iter().any(|pods| pods.len() == 2), "{sights:#?}");
}

#[test]
fn without_a_surge_the_old_pod_is_gone_before_its_successor_comes() {
    let Some(node) = Node::start() else { return };
    node.apply("app.yaml", with_strategy("one", "minReadySeconds: 0"));
    node.agent.wait_ready("app");
    let sights = watch_update(&node, &with_strategy("two", "minReadySeconds: 0"), "two");
    assert!(sights.iter().all(|pods| pods.len() <= 1), "{sights:#?}");
    assert!(sights.iter().flatten().any(|pod| pod.word == "one" && pod.ending), "{sights:#?}");
}

#[test]
fn on_delete_waits_for_somebody_to_delete_the_pod() {
    let Some(node) = Node::start() else { return };
    let on_delete = "updateStrategy: {type: OnDelete}";
    node.apply("app.yaml", with_strategy("one", on_delete));
    let first = node.agent.wait_ready("app");
    node.apply("app.yaml", with_strategy("two", on_delete));
    let object = node
        .agent
        .wait_daemon_set("app", "a new generation", |object| object["status"]["observedGeneration"] == 2);
    let status = &object["status"];
    assert!(status["updatedNumberScheduled"].is_null() && status["numberAvailable"] == 1, "{status:#}");
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&first));
    let name = first.metadata.name.as_deref().unwrap();
    node.agent.says(&["delete", "pod", name, "-n", "test"]);
    node.agent.wait_pod("app", "the new one", |pod| word(pod) == Some("two"));
}

#[test]
fn daemon_sets_that_leave_the_store_all_at_once_are_held_also_over_a_restart_until_somebody_confirms() {
    let Some(mut node) = Node::start() else { return };
    let names = ["one", "two", "three"];
    for name in names {
        node.apply(&format!("{name}.yaml"), daemon_set(name, SPEC));
    }
    let before = names.map(|name| container_ids(&node.agent.wait_ready(name)));
    for name in names {
        node.delete(&format!("{name}.yaml"));
    }
    let held = |node: &Node| {
        let status = node.agent.api.object("/apis/daemonlet.dev/v1/status");
        let problems = status["store"]["problems"].to_string();
        status["store"]["freshness"] == "LastGood" && problems.contains("store confirm")
    };
    wait_until("the removal is held, and it is said how to confirm it", || held(&node));
    node.agent.kill9();
    node.agent.launch();
    node.agent.wait_until_ready();
    wait_until("it is still held", || held(&node));
    assert_eq!(names.map(|name| container_ids(&node.agent.wait_ready(name))), before);
    assert_eq!(node.agent.says(&["store", "confirm"]), "removals confirmed\n");
    for name in names {
        node.agent.wait_gone(name);
    }
    wait_until("nothing is left", || node.sandboxes().is_empty());
}

#[test]
fn revisions_outlive_the_store_and_the_agent() {
    let Some(mut node) = Node::start() else { return };
    for word in ["one", "two", "three"] {
        node.apply("app.yaml", with_strategy(word, "revisionHistoryLimit: 1"));
        node.agent.wait_pod("app", word, |pod| self::word(pod) == Some(word));
    }
    let history = |node: &Node| {
        let answer = node.agent.cli(&["rollout", "history", "ds/app", "-n", "test"]);
        answer.out.lines().filter_map(|line| line.split(' ').next()?.parse::<u32>().ok()).collect::<Vec<_>>()
    };
    wait_until("one old revision is kept", || history(&node) == [2, 3]);
    std::fs::rename(node.path("manifests"), node.path("elsewhere")).unwrap();
    node.agent.kill9();
    node.agent.launch();
    node.agent.wait_until_ready();
    node.agent.wait_ready("app");
    assert_eq!(history(&node), [2, 3]);
    node.agent.says(&["rollout", "undo", "ds/app", "-n", "test"]);
    node.agent.wait_pod("app", "the one before", |pod| word(pod) == Some("two"));
}
