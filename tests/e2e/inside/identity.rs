//! Who a container's processes are. Rule: the effective security context of pod, container and image (`pkg/securitycontext`), and the
//! check of `runAsNonRoot` (`pkg/kubelet/kuberuntime/security_context.go`).

use serde_json::json;

use super::{Inside, sleepers, waiting};
use crate::kit::{Node, daemon_set};

const BY_NAME: &str = "docker.io/library/by-name:1";
const BY_NUMBER: &str = "docker.io/library/by-number:1";

#[test]
fn users_and_groups_are_the_pods_unless_a_container_has_its_own() {
    let Some(node) = Node::start() else { return };
    let spec = sleepers(
        "
securityContext: {runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000, supplementalGroups: [5000, 4000]}
volumes: [{name: work, emptyDir: {}}]",
        &[
            ("pods", "volumeMounts: [{name: work, mountPath: /vol}]"),
            ("own", "securityContext: {runAsUser: 1001, runAsGroup: 3001}"),
            ("root", "securityContext: {runAsUser: 0}"),
        ],
    );
    let app = Inside::run(&node, "app", &spec);
    for (container, user, group) in [("pods", "1000", "3000"), ("own", "1001", "3001"), ("root", "0", "3000")]
    {
        assert_eq!(app.status(container, "Uid"), [user; 4].join(" "), "{container}");
        assert_eq!(app.status(container, "Gid"), [group; 4].join(" "), "{container}");
        let groups = app.status(container, "Groups");
        // Runtimes name the primary group once more since CVE-2023-25173.
        let others: Vec<&str> = groups.split(' ').filter(|name| *name != group).collect();
        assert_eq!(others, ["2000", "4000", "5000"], "{container}");
        assert_eq!(app.sh(container, "id -u"), user, "a command that is run later in {container}");
    }
    // What it writes into a volume is the volume's group's.
    assert_eq!(app.sh("pods", "touch /vol/x; stat -c '%u %g' /vol/x"), "1000 2000");
}

#[test]
fn an_image_says_who_runs_it_where_the_manifest_does_not() {
    let Some(node) = Node::start() else { return };
    let group_file = "root:x:0:\nnobody:x:65534:\nextra:x:4242:nobody\n";
    node.containerd.import_busybox(
        BY_NAME,
        &json!({"User": "nobody", "Env": ["PATH=/bin"]}),
        &[("etc/group", group_file)],
    );
    node.containerd.import_busybox(BY_NUMBER, &json!({"User": "1234:5678", "Env": ["PATH=/bin"]}), &[]);
    let container = |name: &str, image: &str, context: &str| {
        format!(
            "- {{name: {name}, image: '{image}', command: [sleep, infinity], securityContext: {context}}}\n"
        )
    };
    let spec = [
        "securityContext: {supplementalGroups: [4000]}\ncontainers:\n".to_owned(),
        container("by-name", BY_NAME, "{}"),
        container("by-number", BY_NUMBER, "{runAsNonRoot: true}"),
        container("overruled", BY_NAME, "{runAsUser: 1000, runAsNonRoot: true}"),
    ];
    let app = Inside::run(&node, "app", &spec.concat());
    assert_eq!(app.status("by-name", "Uid"), "65534 65534 65534 65534");
    assert_eq!(app.status("by-name", "Gid"), "65534 65534 65534 65534");
    // Policy Merge: groups that the image gives its user are added.
    let groups = app.status("by-name", "Groups");
    for group in ["4000", "4242"] {
        assert!(groups.split(' ').any(|name| name == group), "{group} in {groups}");
    }
    assert_eq!(app.status("by-number", "Uid"), "1234 1234 1234 1234");
    assert_eq!(app.status("overruled", "Uid"), "1000 1000 1000 1000");
    // A user that the image doesn't know has no group of its own.
    assert_eq!(app.status("overruled", "Gid"), "0 0 0 0");
}

#[test]
fn a_container_that_would_run_as_root_or_may_is_not_started_where_that_is_forbidden() {
    let Some(node) = Node::start() else { return };
    node.containerd.import_busybox(BY_NAME, &json!({"User": "nobody", "Env": ["PATH=/bin"]}), &[]);
    let spec = format!(
        "
securityContext: {{runAsNonRoot: true}}
containers:
- {{name: image, image: busybox:1, command: [sleep, infinity]}}
- {{name: spec, image: busybox:1, command: [sleep, infinity], securityContext: {{runAsUser: 0}}}}
- {{name: unknown, image: '{BY_NAME}', command: [sleep, infinity]}}
- {{name: allowed, image: busybox:1, command: [sleep, infinity], securityContext: {{runAsNonRoot: false}}}}
- {{name: user, image: busybox:1, command: [sleep, infinity], securityContext: {{runAsUser: 1000}}}}
"
    );
    node.apply("app.yaml", daemon_set("app", &spec));
    let refused = |pod: &_| ["image", "spec", "unknown"].iter().all(|name| !waiting(pod, name).1.is_empty());
    let is_started = |pod: &_, name: &str| waiting(pod, name).0.is_empty();
    let pod = node.agent.wait_pod("app", "three of five refused", |pod| {
        refused(pod) && is_started(pod, "allowed") && is_started(pod, "user")
    });
    let app = Inside { node: &node, pod };
    let of = |container: &str| {
        let id = format!("{}_test({})", app.name(), app.uid());
        format!("(pod: \"{id}\", container: {container})")
    };
    for (container, message) in [
        ("image", "container has runAsNonRoot and image will run as root"),
        ("spec", "container's runAsUser breaks non-root policy"),
        (
            "unknown",
            "container has runAsNonRoot and image has non-numeric user (nobody), cannot verify user is non-root",
        ),
    ] {
        let message = format!("{message} {}", of(container));
        assert_eq!(waiting(&app.pod, container), ("CreateContainerConfigError".to_owned(), message.clone()));
        node.agent.wait_event("app-", "Failed", |said| said == format!("Error: {message}"));
    }
    assert_eq!(app.status("allowed", "Uid"), "0 0 0 0");
    assert_eq!(app.status("user", "Uid"), "1000 1000 1000 1000");
}
