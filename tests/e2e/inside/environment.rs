//! What a container's process starts with: environment, arguments, working directory, terminal. Rule: `makeEnvironmentVariables` in
//! `pkg/kubelet/kubelet_pods.go`.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Inside, sleepers, waiting};
use crate::kit::{Node, daemon_set};

const OBJECTS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: first, namespace: test}
data: {level: low, place: here, GREETING: from-map}
---
apiVersion: v1
kind: Secret
metadata: {name: second, namespace: test}
stringData: {level: high, token: s3cret}
---
";

const SPEC: &str = "
serviceAccountName: robot
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'sleep infinity; true', '$(LEVEL)', '$$(LEVEL)', '$(NOBODY)', a$b]
  args: ['$(POD)']
  workingDir: /tmp/$(LEVEL)
  resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 250m, memory: 64Mi}}
  envFrom:
  - configMapRef: {name: first}
  - prefix: SECRET_
    secretRef: {name: second}
  - secretRef: {name: second}
  - configMapRef: {name: missing, optional: true}
  env:
  - {name: EARLY, value: '$(LEVEL)'}
  - {name: LEVEL, value: '$(level)-$(SECRET_token)'}
  - {name: TWICE, value: '$(LEVEL)/$(LEVEL)'}
  - {name: ESCAPED, value: '$$(LEVEL) $(NOBODY) $x $('}
  - {name: EMPTY}
  - {name: GREETING, value: own}
  - {name: KEY, valueFrom: {configMapKeyRef: {name: first, key: place}}}
  - {name: TOKEN, valueFrom: {secretKeyRef: {name: second, key: token}}}
  - {name: UNSET, valueFrom: {secretKeyRef: {name: second, key: missing, optional: true}}}
  - {name: place, valueFrom: {configMapKeyRef: {name: missing, key: x, optional: true}}}
  - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  - {name: UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
  - {name: LABEL, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}
  - {name: NO_LABEL, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['nobody']\"}}}
  - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
  - {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
  - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - {name: POD_IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
  - {name: CPUS, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
  - {name: MILLIS, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
  - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi}}}
  - {name: OTHERS, valueFrom: {resourceFieldRef: {containerName: open, resource: limits.memory, divisor: 1Ki}}}
- {name: open, image: 'busybox:1', command: [sleep, infinity]}
";

fn variables(app: &Inside<'_>, container: &str) -> BTreeMap<String, String> {
    let text = app.sh(container, "tr '\\0' '\\n' < /proc/1/environ");
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[test]
fn a_process_starts_with_the_environment_and_arguments_of_its_manifest() {
    let Some(node) = Node::configured("apiServer: {host: 192.0.2.10, port: 6443}\n") else { return };
    node.apply("app.yaml", format!("{OBJECTS}{}", daemon_set("app", SPEC)));
    let app = Inside::ready(&node, "app");
    let found = variables(&app, "main");
    let host_ip = app.pod.status.clone().unwrap().host_ip.unwrap();
    let described = node.agent.api.object(&format!("/api/v1/nodes/{}", node.slot().node_name()));
    let allocatable = described["status"]["allocatable"]["memory"].as_str().unwrap().to_owned();
    let (pod, uid, ip) = (app.name(), app.uid(), app.ip());
    for (name, value) in [
        ("level", "high"),
        ("SECRET_level", "high"),
        ("place", "here"),
        ("GREETING", "own"),
        ("EARLY", "$(LEVEL)"),
        ("LEVEL", "high-s3cret"),
        ("TWICE", "high-s3cret/high-s3cret"),
        ("ESCAPED", "$(LEVEL) $(NOBODY) $x $("),
        ("EMPTY", ""),
        ("KEY", "here"),
        ("TOKEN", "s3cret"),
        ("POD", &pod),
        ("NAMESPACE", "test"),
        ("UID", &uid),
        ("LABEL", "app"),
        ("NO_LABEL", ""),
        ("NODE", &node.slot().node_name()),
        ("ACCOUNT", "robot"),
        ("HOST_IP", &host_ip),
        ("POD_IP", &ip),
        ("POD_IPS", &ip),
        ("CPUS", "1"),
        ("MILLIS", "250"),
        ("MEMORY", "16"),
        ("OTHERS", allocatable.trim_end_matches("Ki")),
        ("PATH", "/bin"),
        ("KUBERNETES_SERVICE_HOST", "192.0.2.10"),
        ("KUBERNETES_SERVICE_PORT", "6443"),
        ("KUBERNETES_SERVICE_PORT_HTTPS", "6443"),
        ("KUBERNETES_PORT", "tcp://192.0.2.10:6443"),
        ("KUBERNETES_PORT_6443_TCP_ADDR", "192.0.2.10"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(found.get("UNSET"), None);
    assert_eq!(variables(&app, "open").get("KUBERNETES_SERVICE_PORT").map(String::as_str), Some("6443"));
    let words = app.sh("main", "tr '\\0' '\\n' < /proc/1/cmdline");
    assert_eq!(words, format!("sh\n-c\nsleep infinity; true\nhigh-s3cret\n$(LEVEL)\n$(NOBODY)\na$b\n{pod}"));
    // A working directory is what it says, made where it is missing.
    assert_eq!(app.sh("main", "readlink /proc/1/cwd"), "/tmp/$(LEVEL)");
}

#[test]
fn what_the_manifest_leaves_out_the_image_says() {
    let Some(node) = Node::start() else { return };
    let image = "docker.io/library/described:1";
    let config = json!({"Entrypoint": ["sh", "-c"], "Cmd": ["sleep 1001; true"], "WorkingDir": "/srv",
        "Env": ["PATH=/bin", "OF_IMAGE=yes", "BOTH=image"]});
    node.containerd.import_busybox(image, &config, &[("srv/file", "")]);
    let spec = format!(
        "
containers:
- {{name: neither, image: '{image}'}}
- {{name: args, image: '{image}', args: [sleep 1002; true]}}
- {{name: command, image: '{image}', command: [sleep, '1003']}}
- {{name: both, image: '{image}', command: [sleep], args: ['1004'], workingDir: /tmp, env: [{{name: BOTH, value: own}}]}}
"
    );
    let app = Inside::run(&node, "app", &spec);
    for (container, words, dir, both) in [
        ("neither", "sh -c sleep 1001; true ", "/srv", "image"),
        ("args", "sh -c sleep 1002; true ", "/srv", "image"),
        ("command", "sleep 1003 ", "/srv", "image"),
        ("both", "sleep 1004 ", "/tmp", "own"),
    ] {
        assert_eq!(
            app.sh(container, "tr '\\0' ' ' < /proc/1/cmdline; readlink /proc/1/cwd"),
            format!("{words}{dir}"),
            "{container}"
        );
        let found = variables(&app, container);
        let value = |name: &str| found.get(name).map(String::as_str);
        assert_eq!((value("OF_IMAGE"), value("BOTH")), (Some("yes"), Some(both)), "{container}");
    }
}

#[test]
fn a_terminal_and_standard_input_are_there_where_they_are_asked_for() {
    let Some(node) = Node::start() else { return };
    let spec =
        sleepers("", &[("plain", ""), ("input", "stdin: true"), ("terminal", "stdin: true, tty: true")]);
    let app = Inside::run(&node, "app", &spec);
    let input = |container: &str| app.sh(container, "readlink /proc/1/fd/0");
    assert_eq!(input("plain"), "/dev/null");
    assert!(input("input").starts_with("pipe:"), "{}", input("input"));
    assert!(input("terminal").starts_with("/dev/pts/"), "{}", input("terminal"));
    assert_ne!(app.sh("terminal", "cut -d' ' -f7 /proc/1/stat"), "0", "it is the process' own terminal");
    assert_eq!(app.sh("input", "cut -d' ' -f7 /proc/1/stat"), "0");
}

#[test]
fn a_container_waits_for_the_object_that_its_environment_needs_and_says_so() {
    let Some(node) = Node::start() else { return };
    let spec = sleepers(
        "",
        &[
            ("map", "env: [{name: X, valueFrom: {configMapKeyRef: {name: late, key: level}}}]"),
            ("key", "env: [{name: X, valueFrom: {secretKeyRef: {name: second, key: missing}}}]"),
            ("all", "envFrom: [{secretRef: {name: late}}]"),
            ("fine", ""),
        ],
    );
    node.apply("app.yaml", format!("{OBJECTS}{}", daemon_set("app", &spec)));
    let reasons = [
        ("map", "configmap \"late\" not found"),
        ("key", "couldn't find key missing in Secret test/second"),
        ("all", "secret \"late\" not found"),
        ("fine", ""),
    ];
    let reason = |message: &str| if message.is_empty() { "" } else { "CreateContainerConfigError" };
    let pod = node.agent.wait_pod("app", "three of four wait, with their reasons", |pod| {
        reasons
            .iter()
            .all(|(name, message)| waiting(pod, name) == (reason(message).to_owned(), (*message).to_owned()))
    });
    let late = OBJECTS.replace("name: first", "name: late").replace("name: second", "name: late");
    node.apply("late.yaml", late.trim_end().trim_end_matches("---"));
    node.apply(
        "app.yaml",
        format!("{}{}", OBJECTS.replace("token:", "missing: x, token:"), daemon_set("app", &spec)),
    );
    let app = Inside::ready(&node, "app");
    assert_eq!(Some(app.uid()), pod.metadata.uid);
    let value =
        |container: &str, name: &str| variables(&app, container).get(name).cloned().unwrap_or_default();
    assert_eq!(
        (value("map", "X"), value("key", "X"), value("all", "token")),
        ("low".into(), "x".into(), "s3cret".into())
    );
}
