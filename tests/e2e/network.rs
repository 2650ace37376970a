//! A node that has no network for pods yet, as when a cluster is founded: CNI itself comes as a DaemonSet.

use std::fs;

use crate::kit::{Node, daemon_set};

const OWN_NETWORK: &str = "
terminationGracePeriodSeconds: 0
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
";

/// On the node's network, it brings the configuration that all other pods wait for.
const CNI: &str = "
hostNetwork: true
terminationGracePeriodSeconds: 0
containers:
- name: install
  image: busybox:1
  command: [sh, -c, 'cp /config/conflist /host/.new && mv /host/.new /host/10-test.conflist && sleep infinity']
  volumeMounts: [{name: host, mountPath: /host}, {name: config, mountPath: /config}]
volumes:
- name: host
  hostPath: {path: CONF_DIR, type: Directory}
- name: config
  configMap: {name: cni}
";

#[test]
fn pods_wait_for_the_network_and_go_on_once_a_daemon_set_has_brought_it() {
    let Some(mut node) = Node::prepared("") else { return };
    let conflist = node.path("cni/10-test.conflist");
    let text = fs::read_to_string(&conflist).unwrap();
    fs::remove_file(&conflist).unwrap();
    node.containerd.restart();
    node.agent.launch();
    node.apply("app.yaml", daemon_set("app", OWN_NETWORK));
    node.agent.wait_event("app", "NetworkNotReady", |message| message.starts_with("network is not ready: "));
    assert!(node.sandboxes().is_empty());

    let indented = text.replace('\n', "\n    ");
    node.apply(
        "cni.yaml",
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name}\ndata:\n  conflist: |\n    {indented}\n",
            name = "{name: cni, namespace: test}"
        ),
    );
    let cni = CNI.replace("CONF_DIR", &node.path("cni").display().to_string());
    node.apply("network.yaml", daemon_set("network", &cni));
    node.agent.wait_ready("network");
    let pod = node.agent.wait_ready("app");
    assert!(pod.status.and_then(|status| status.pod_ip).is_some());
}
