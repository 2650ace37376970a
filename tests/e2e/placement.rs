//! Who runs when not everybody can: room on the node, host ports, priority, taints over time, and the verbs that change the node.

use k8s_openapi::api::core::v1::Pod;

use crate::kit::{Node, container_ids, daemon_set, is_ready, wait_until};

/// A pod that ends when told; `more` is further YAML of its spec, and `container` of its container.
fn app(name: &str, more: &str, container: &str) -> String {
    let spec = format!(
        "
terminationGracePeriodSeconds: 1
{more}
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'trap \"exit 0\" TERM; sleep infinity & wait']
  {container}
"
    );
    daemon_set(name, &spec)
}

fn unscheduled(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|it| it.type_ == "PodScheduled" && it.status == "False")?;
    assert_eq!(scheduled.reason.as_deref(), Some("Unschedulable"));
    scheduled.message.clone()
}

fn disruption(pod: &Pod) -> Option<&str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|it| it.type_ == "DisruptionTarget" && it.status == "True")?.reason.as_deref()
}

fn name_of(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap()
}

#[test]
fn a_pod_whose_host_port_is_held_waits_and_goes_on_by_itself() {
    let Some(node) = Node::start() else { return };
    let port = "ports: [{containerPort: 80, hostPort: 32180}]";
    node.apply("first.yaml", app("first", "hostNetwork: false", port));
    let first = node.agent.wait_ready("first");
    node.apply("second.yaml", app("second", "", port));
    let waits = |pod: &Pod| {
        unscheduled(pod).is_some_and(|message| {
            message.starts_with(
                "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
            ) && message.contains(name_of(&first))
        })
    };
    let waiting = node.agent.wait_pod("second", "waiting for the port", waits);
    assert_eq!(waiting.spec.as_ref().unwrap().node_name, None, "it is not tied to the node yet");
    node.agent.wait_event("second-", "FailedScheduling", |message| message.contains("free ports"));
    node.agent.wait_daemon_set("second", "counted as wanted and there", |object| {
        object["status"]["desiredNumberScheduled"] == 1
            && object["status"]["currentNumberScheduled"] == 1
            && object["status"]["numberUnavailable"] == 1
    });
    // It is the same pod for another agent.
    let mut node = node;
    node.agent.restart();
    let again = node.agent.wait_pod("second", "waiting again", waits);
    assert_eq!(again.metadata.uid, waiting.metadata.uid);
    assert_eq!(node.sandboxes().len(), 1);

    node.delete("first.yaml");
    let ready = node.agent.wait_ready("second");
    assert_eq!(ready.metadata.uid, waiting.metadata.uid, "the pod that waited is the one that runs");
}

#[test]
fn a_surge_over_a_host_port_says_that_it_cannot_be_and_how_to_go_on() {
    let Some(node) = Node::start() else { return };
    let surging = |greeting: &str| {
        let port = format!(
            "ports: [{{containerPort: 80, hostPort: 32181}}]\n  env: [{{name: GREETING, value: {greeting}}}]"
        );
        app("web", "", &port).replace(
            "spec:\n  selector:",
            "spec:\n  updateStrategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}\n  selector:",
        )
    };
    node.apply("web.yaml", surging("old"));
    let old = node.agent.wait_ready("web");
    node.apply("web.yaml", surging("new"));
    let hint = format!("run `daemonlet delete pod {} -n test`", name_of(&old));
    node.agent.wait_pods("web", "the old one ready, the new one waiting", |pods| {
        pods.len() == 2
            && pods.iter().any(|pod| is_ready(pod) && pod.metadata.uid == old.metadata.uid)
            && pods.iter().any(|pod| unscheduled(pod).is_some_and(|message| message.contains(&hint)))
    });
    node.agent.says(&["delete", "pod", name_of(&old), "-n", "test"]);
    let new = node
        .agent
        .wait_pod("web", "the new one, ready", |pod| pod.metadata.uid != old.metadata.uid && is_ready(pod));
    assert_eq!(node.exec(&new, "main", &["sh", "-c", "echo $GREETING"]), "new");
}

#[test]
fn a_pod_of_higher_priority_takes_the_place_of_a_lower_one() {
    let Some(node) = Node::configured("maxPods: 2\n") else { return };
    let slow = app("low", "", "lifecycle: {preStop: {sleep: {seconds: 4}}}");
    node.apply(
        "low.yaml",
        slow.replace("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 9"),
    );
    node.apply("critical.yaml", app("critical", "priorityClassName: system-node-critical", ""));
    let low = node.agent.wait_ready("low");
    let critical = node.agent.wait_ready("critical");
    let class =
        "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: high}\nvalue: 1000\n---\n";
    let high = app("high", "priorityClassName: high", "");
    node.apply("high.yaml", class.to_owned() + &high);
    node.agent.wait_pod("high", "waiting for its place, which is kept for it", |pod| {
        let nominated = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
        unscheduled(pod).is_some() && nominated == Some(&node.slot().node_name())
    });
    node.agent.wait_pods("low", "one that says what it ends for", |pods| {
        pods.iter().any(|pod| disruption(pod) == Some("PreemptionByScheduler"))
    });
    node.agent.wait_event(name_of(&low), "Preempted", |message| message.contains("Preempted by pod"));
    let high = node.agent.wait_ready("high");
    assert_eq!(high.status.unwrap().nominated_node_name, None, "it has its place");
    let waiting = node.agent.wait_pod("low", "another one, which waits", |pod| {
        pod.metadata.uid != low.metadata.uid && unscheduled(pod).is_some()
    });
    let message = unscheduled(&waiting).unwrap();
    assert!(message.starts_with("0/1 nodes are available: 1 Too many pods. preemption:"), "{message}");
    assert_eq!(container_ids(&node.agent.wait_ready("critical")), container_ids(&critical));
    // An equal displaces nobody.
    node.apply("equal.yaml", app("equal", "priorityClassName: high", ""));
    node.agent.wait_pod("equal", "waiting", |pod| unscheduled(pod).is_some());
    node.agent.wait_ready("high");
    node.delete("high.yaml");
    node.agent.wait_gone("high");
}

#[test]
fn a_pod_stays_for_as_long_as_it_tolerates_a_no_execute_taint_also_across_a_restart_of_the_agent() {
    let Some(mut node) = Node::start() else { return };
    let tolerating = |seconds: u32| {
        format!(
            "tolerations: [{{key: dedicated, operator: Exists, effect: NoExecute, tolerationSeconds: {seconds}}}]"
        )
    };
    node.apply("brief.yaml", app("brief", &tolerating(5), ""));
    node.apply("patient.yaml", app("patient", &tolerating(3600), ""));
    let brief = node.agent.wait_ready("brief");
    let patient = node.agent.wait_ready("patient");
    node.describe("{}", "[{key: dedicated, effect: NoExecute}]");
    let path = format!("/api/v1/nodes/{}", node.slot().node_name());
    let added = |node: &Node| node.agent.api.object(&path)["spec"]["taints"][0]["timeAdded"].clone();
    wait_until("the taint has a time", || added(&node).is_string());
    let before = added(&node);
    let created = |node: &Node| node.agent.api.object(&path)["metadata"]["creationTimestamp"].clone();
    let born = created(&node);
    node.agent.restart();
    assert_eq!(added(&node), before, "the time goes on");
    assert_eq!(created(&node), born, "and so does the node's age");
    node.agent.wait_event(name_of(&brief), "TaintManagerEviction", |message| {
        message == format!("Marking for deletion Pod test/{}", name_of(&brief))
    });
    let next = node
        .agent
        .wait_pod("brief", "another one", |pod| pod.metadata.uid != brief.metadata.uid && is_ready(pod));
    // Once the taint is gone, nothing drives it away.
    node.describe("{}", "[]");
    node.agent
        .wait_event(name_of(&next), "TaintManagerEviction", |message| message.starts_with("Cancelling"));
    assert_eq!(container_ids(&node.agent.wait_ready("patient")), container_ids(&patient));
}

#[test]
fn label_and_taint_verbs_change_what_runs_and_are_written_down() {
    let Some(mut node) = Node::start() else { return };
    let name = node.slot().node_name();
    let file = node.path("node.yaml");
    std::fs::write(&file, format!("# Rack 7.\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\n"))
        .unwrap();
    node.apply("gpu.yaml", app("gpu", "nodeSelector: {gpu: \"yes\"}", ""));
    node.apply("web.yaml", app("web", "", ""));
    node.agent.wait_ready("web");
    assert_eq!(node.agent.says(&["label", "node", &name, "gpu=yes"]), format!("node/{name} labeled\n"));
    node.agent.wait_ready("gpu");
    let refused = node.agent.cli(&["label", "node", &name, "gpu=no"]);
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.err, "error: 'gpu' already has a value (yes), and --overwrite is false\n");
    assert_eq!(
        node.agent.says(&["taint", "node", &name, "dedicated=db:NoExecute"]),
        format!("node/{name} tainted\n")
    );
    node.agent.wait_gone("web");
    node.agent.wait_gone("gpu");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# Rack 7.\napiVersion: v1\n") && text.contains("gpu:"), "{text}");
    // Two changes in a row: the second knows of the first.
    node.agent.says(&["taint", "node", &name, "second:NoSchedule"]);
    assert_eq!(
        node.agent.says(&["taint", "node", &name, "dedicated:NoExecute-", "second-"]),
        format!("node/{name} untainted\n")
    );
    node.agent.wait_ready("web");
    node.agent.restart();
    node.agent.wait_ready("gpu");
    assert_eq!(
        node.agent.says(&["label", "node", &name, "gpu=no", "--overwrite"]),
        format!("node/{name} labeled\n")
    );
    node.agent.wait_gone("gpu");
}

#[test]
fn a_drain_leaves_daemon_sets_alone_unless_told_otherwise_and_lasts_until_the_node_is_uncordoned() {
    let Some(mut node) = Node::start() else { return };
    let name = node.slot().node_name();
    node.apply("web.yaml", app("web", "tolerations: [{operator: Exists}]", ""));
    let web = node.agent.wait_ready("web");
    assert_eq!(node.agent.says(&["cordon"]), format!("node/{name} cordoned\n"));
    assert_eq!(node.agent.says(&["cordon", &name]), format!("node/{name} already cordoned\n"));
    let refused = node.agent.cli(&["drain", &name]);
    assert_eq!(refused.code, Some(1));
    let managed = "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore";
    assert!(refused.err.contains(managed) && refused.err.contains(name_of(&web)), "{}", refused.err);
    let answer = node.agent.cli(&["drain", "--ignore-daemonsets"]);
    assert_eq!(answer.out, format!("node/{name} already cordoned\nnode/{name} drained\n"));
    assert!(answer.err.starts_with("Warning: ignoring DaemonSet-managed Pods: test/web-"), "{}", answer.err);
    assert_eq!(container_ids(&node.agent.wait_ready("web")), container_ids(&web));

    let drain = [
        "drain",
        "--delete-daemonset-pods",
        "--force",
        "--delete-emptydir-data",
        "--grace-period=1",
        "--timeout=1m",
    ];
    let said = node.agent.says(&drain);
    assert!(said.ends_with(&format!("pod/{} evicted\nnode/{name} drained\n", name_of(&web))), "{said}");
    node.agent.restart();
    node.apply("new.yaml", app("new", "", ""));
    node.agent
        .wait_daemon_set("new", "not wanted here", |object| object["status"]["desiredNumberScheduled"] == 0);
    assert!(node.agent.says(&["explain", "ds/new", "-n", "test"]).contains("the node is drained"));
    assert!(node.sandboxes().is_empty(), "nothing runs");
    assert_eq!(node.agent.says(&["uncordon"]), format!("node/{name} uncordoned\n"));
    node.agent.wait_ready("web");
    node.agent.wait_ready("new");
}
