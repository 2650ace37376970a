//! From a manifest to a ready pod that is what the manifest says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use k8s_openapi::api::core::v1::Pod;

use crate::kit::{Node, daemon_set, is_ready, wait_until};

const NODE_EXPORTER: &str = include_str!("../../examples/manifests/node-exporter.yaml");

#[test]
fn the_real_node_exporter_reads_the_host() {
    let Some(node) = Node::start() else { return };
    node.containerd.import("node-exporter");
    let port = node.slot().port(0);
    let listen = format!("--path.sysfs=/host/sys\n        - --web.listen-address=:{port}");
    let manifest =
        NODE_EXPORTER.replace("--path.sysfs=/host/sys", &listen).replace("9100", &port.to_string());
    node.apply("node-exporter.yaml", manifest);
    let pod = node.agent.wait_ready("monitoring/node-exporter");

    assert_eq!(pod_ip(&pod), host_ip(&pod), "hostNetwork");
    let metrics = http_get("127.0.0.1", port, "/metrics");
    let value = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok())
    };
    assert_eq!(value("node_memory_MemTotal_bytes"), Some(memory_of_the_host()));
}

#[test]
fn the_examples_of_log_collectors_become_ready() {
    let Some(node) = Node::start() else { return };
    // Their hostPaths are real ones; a test must not make directories on the host.
    let here = node.path("docker").display().to_string();
    let collector = include_str!("../../examples/manifests/log-collector.yaml");
    node.apply("a.yaml", collector.replace("path: /var/lib/docker/containers", &format!("path: {here}")));
    node.apply("b.yaml", include_str!("../../examples/manifests/fluentd-elasticsearch.yaml"));
    node.agent.wait_ready("kube-system/log-collector");
    let pod = node.agent.wait_ready("kube-system/fluentd-elasticsearch");

    let limit = read_cgroup(&node, &pod, "fluentd-elasticsearch");
    assert_eq!(limit, "209715200", "the memory limit of 200Mi");
}

#[test]
fn a_pod_has_a_network_and_a_host_name_of_its_own() {
    let Some(node) = Node::start() else { return };
    let spec = "
containers:
- name: web
  image: busybox:1
  command: [sh, -c, 'mkdir /www; hostname > /www/name; httpd -f -p 8080 -h /www']
  readinessProbe:
    httpGet: {path: /name, port: 8080}
    periodSeconds: 1
";
    node.apply("web.yaml", daemon_set("web", spec));
    let pod = node.agent.wait_ready("web");

    assert!(pod_ip(&pod).starts_with(&node.slot().subnet()), "{}", pod_ip(&pod));
    let name = http_get(&pod_ip(&pod), 8080, "/name");
    assert_eq!(name.trim(), pod.metadata.name.clone().unwrap());
}

#[test]
fn a_pod_that_asks_for_the_hosts_namespaces_is_in_them() {
    let Some(node) = Node::start() else { return };
    let spec = "
hostNetwork: true
hostPID: true
hostIPC: true
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
";
    node.apply("host.yaml", daemon_set("host", spec));
    let pod = node.agent.wait_ready("host");
    let pid = node.pid(&pod, "main");
    for namespace in ["net", "pid", "ipc", "uts"] {
        let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/{namespace}")).unwrap();
        assert_eq!(of(&pid.to_string()), of("self"), "{namespace}");
    }
    assert_ne!(
        std::fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap(),
        std::fs::read_link("/proc/self/ns/mnt").unwrap()
    );
}

#[test]
fn init_containers_run_one_after_the_other_and_before_all_others() {
    let Some(node) = Node::start() else { return };
    let spec = "
initContainers:
- name: first
  image: busybox:1
  command: [sh, -c, 'sleep 1; echo first >> /data/log']
  volumeMounts: [{name: work, mountPath: /data}]
- name: second
  image: busybox:1
  command: [sh, -c, 'echo second >> /data/log']
  volumeMounts: [{name: work, mountPath: /data}]
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'echo main >> /data/log; sleep infinity']
  volumeMounts: [{name: work, mountPath: /data}]
volumes:
- name: work
  emptyDir: {}
";
    node.apply("init.yaml", daemon_set("init", spec));
    let pod = node.agent.wait_ready("init");
    wait_until("the main container has written", || {
        node.exec(&pod, "main", &["cat", "/data/log"]) == "first\nsecond\nmain"
    });
    let statuses = pod.status.unwrap().init_container_statuses.unwrap();
    for status in statuses {
        let ended = status.state.unwrap().terminated.unwrap();
        assert_eq!((ended.exit_code, ended.reason.as_deref()), (0, Some("Completed")), "{}", status.name);
    }
}

#[test]
fn a_failing_init_container_is_tried_again_and_nothing_else_starts() {
    let Some(node) = Node::start() else { return };
    let spec = "
initContainers:
- name: twice
  image: busybox:1
  command: [sh, -c, 'echo x >> /data/tries; test $(wc -l < /data/tries) -ge 2']
  volumeMounts: [{name: work, mountPath: /data}]
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
volumes:
- name: work
  emptyDir: {}
";
    node.apply("init.yaml", daemon_set("init", spec));
    let pod = node.agent.wait_ready("init");
    let restarts = pod.status.unwrap().init_container_statuses.unwrap()[0].restart_count;
    assert_eq!(restarts, 1);
}

#[test]
fn config_maps_and_secrets_reach_files_and_the_environment() {
    let Some(node) = Node::start() else { return };
    let objects = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: test}
data:
  greeting: hello
  file.conf: |
    a = 1
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: test}
stringData:
  token: s3cret
";
    let spec = "
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
  env:
  - name: GREETING
    valueFrom: {configMapKeyRef: {name: settings, key: greeting}}
  - name: TOKEN
    valueFrom: {secretKeyRef: {name: keys, key: token}}
  - name: BOTH
    value: $(GREETING)-$(TOKEN)
  - name: POD
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  volumeMounts:
  - {name: config, mountPath: /etc/app}
  - {name: keys, mountPath: /keys}
volumes:
- name: config
  configMap:
    name: settings
    items: [{key: file.conf, path: deep/app.conf}]
- name: keys
  secret:
    secretName: keys
    defaultMode: 0400
";
    node.apply("all.yaml", format!("{objects}---\n{}", daemon_set("app", spec)));
    let pod = node.agent.wait_ready("app");
    let run = |command: &str| node.exec(&pod, "main", &["sh", "-c", command]);
    assert_eq!(run("echo $BOTH"), "hello-s3cret");
    assert_eq!(run("echo $POD"), pod.metadata.name.clone().unwrap());
    assert_eq!(run("cat /etc/app/deep/app.conf"), "a = 1");
    assert_eq!(run("cat /keys/token; stat -Lc ' %a' /keys/token"), "s3cret 400");
    assert_eq!(run("ls /etc/app"), "deep");
}

#[test]
fn readiness_comes_and_goes_with_its_probe() {
    let Some(node) = Node::start() else { return };
    let spec = "
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
  readinessProbe:
    exec: {command: [test, -e, /tmp/ready]}
    periodSeconds: 1
    failureThreshold: 1
";
    node.apply("app.yaml", daemon_set("app", spec));
    let is_running = |pod: &Pod| {
        let status = pod.status.clone().unwrap_or_default();
        status.phase.as_deref() == Some("Running") && !is_ready(pod)
    };
    let pod = node.agent.wait_pod("app", "running and not ready", is_running);
    node.exec(&pod, "main", &["touch", "/tmp/ready"]);
    node.agent.wait_ready("app");
    node.agent.wait_daemon_set("app", "one ready", |object| object["status"]["numberReady"] == 1);
    node.exec(&pod, "main", &["rm", "/tmp/ready"]);
    node.agent.wait_pod("app", "running and not ready again", is_running);
    node.agent.wait_daemon_set("app", "none ready", |object| object["status"]["numberReady"] == 0);
}

#[test]
fn a_container_that_is_no_longer_alive_is_restarted_once_it_has_started() {
    let Some(node) = Node::start() else { return };
    let spec = "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'touch /tmp/alive; sleep 1; httpd -f -p 7000']
  startupProbe:
    tcpSocket: {port: 7000}
    periodSeconds: 1
    failureThreshold: 30
  livenessProbe:
    exec: {command: [test, -e, /tmp/alive]}
    periodSeconds: 1
    failureThreshold: 1
";
    node.apply("app.yaml", daemon_set("app", spec));
    let pod = node.agent.wait_ready("app");
    let restarts =
        |pod: &Pod| pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].restart_count;
    assert_eq!(restarts(&pod), 0);
    node.exec(&pod, "main", &["rm", "/tmp/alive"]);
    let again = node.agent.wait_pod("app", "restarted and ready", |pod| restarts(pod) == 1 && is_ready(pod));
    assert_eq!(again.metadata.uid, pod.metadata.uid);
    node.agent.wait_event("app-", "Unhealthy", |message| message.starts_with("Liveness probe failed"));
}

#[test]
fn host_paths_are_made_where_their_type_asks_for_it() {
    let Some(node) = Node::start() else { return };
    let dir = node.path("host").display().to_string();
    std::fs::create_dir(node.path("host")).unwrap();
    std::fs::write(node.path("host/file"), "from the host").unwrap();
    let spec = format!(
        "
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'echo made > /dir/x; sleep infinity']
  volumeMounts:
  - {{name: dir, mountPath: /dir}}
  - {{name: empty, mountPath: /empty}}
  - {{name: file, mountPath: /file, readOnly: true}}
volumes:
- name: dir
  hostPath: {{path: {dir}/a/b, type: DirectoryOrCreate}}
- name: empty
  hostPath: {{path: {dir}/empty, type: FileOrCreate}}
- name: file
  hostPath: {{path: {dir}/file, type: File}}
"
    );
    node.apply("app.yaml", daemon_set("app", &spec));
    let pod = node.agent.wait_ready("app");
    assert_eq!(node.exec(&pod, "main", &["cat", "/file"]), "from the host");
    wait_until("the container has written to the host", || {
        std::fs::read_to_string(node.path("host/a/b/x")).is_ok_and(|text| text == "made\n")
    });
    assert!(node.path("host/empty").is_file());
}

fn pod_ip(pod: &Pod) -> String {
    pod.status.clone().unwrap_or_default().pod_ip.unwrap_or_default()
}

fn host_ip(pod: &Pod) -> String {
    pod.status.clone().unwrap_or_default().host_ip.unwrap_or_default()
}

/// The memory limit that the kernel has for a container, under either version of cgroups.
fn read_cgroup(node: &Node, pod: &Pod, container: &str) -> String {
    let pid = node.pid(pod, container);
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    for line in cgroups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap(), fields.next().unwrap());
        let file = match controllers {
            "memory" => format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"),
            "" => format!("/sys/fs/cgroup{path}/memory.max"),
            _ => continue,
        };
        if let Ok(limit) = std::fs::read_to_string(file) {
            return limit.trim().to_owned();
        }
    }
    panic!("{container} has no memory limit: {cgroups}");
}

fn memory_of_the_host() -> f64 {
    let table = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = table.lines().find(|line| line.starts_with("MemTotal:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

fn http_get(host: &str, port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect((host, port)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}");
    body.to_owned()
}
