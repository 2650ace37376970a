//! Which namespaces a container shares, and the sysctls of its pod's.

use std::collections::BTreeMap;
use std::fs;

use daemonlet::cri::Detail;

use super::{Inside, sleepers};
use crate::kit::{Node, daemon_set};

const KINDS: [&str; 6] = ["mnt", "pid", "net", "ipc", "uts", "user"];
const TWO: [(&str, &str); 2] = [("one", ""), ("two", "")];

type Namespaces = BTreeMap<&'static str, String>;

fn inside(app: &Inside<'_>, container: &str) -> Namespaces {
    let text =
        app.sh(container, &format!("for kind in {}; do readlink /proc/self/ns/$kind; done", KINDS.join(" ")));
    KINDS.into_iter().zip(text.lines().map(str::to_owned)).collect()
}

fn outside() -> Namespaces {
    let link = |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
    KINDS.into_iter().map(|kind| (kind, link(kind))).collect()
}

fn same(one: &Namespaces, other: &Namespaces) -> Vec<&'static str> {
    KINDS.into_iter().filter(|kind| one[kind] == other[kind]).collect()
}

#[test]
fn a_pods_containers_share_what_the_manifest_says_with_each_other_and_the_host() {
    let Some(node) = Node::start() else { return };
    let host = outside();
    for (name, field, with_host, with_each_other) in [
        ("plain", "", &["user"][..], &["net", "ipc", "uts", "user"][..]),
        ("shared", "shareProcessNamespace: true", &["user"], &["pid", "net", "ipc", "uts", "user"]),
        ("pids", "hostPID: true", &["pid", "user"], &["pid", "net", "ipc", "uts", "user"]),
        ("ipcs", "hostIPC: true", &["ipc", "user"], &["net", "ipc", "uts", "user"]),
        ("nets", "hostNetwork: true", &["net", "uts", "user"], &["net", "ipc", "uts", "user"]),
    ] {
        let app = Inside::run(&node, name, &sleepers(field, &TWO));
        let (one, two) = (inside(&app, "one"), inside(&app, "two"));
        assert_eq!(same(&one, &host), with_host, "{name} with the host");
        assert_eq!(same(&one, &two), with_each_other, "{name} with each other");
        assert!(app.can("one", &format!("echo {name} > /dev/shm/{name}")));
        assert!(app.can("two", &format!("rm /dev/shm/{name}")), "{name}: shared memory is the pod's");
        let ends_with_sleep = app.sh("one", "cat /proc/1/cmdline").starts_with("sleep");
        let first_is_own = matches!(name, "plain" | "ipcs" | "nets");
        assert_eq!(ends_with_sleep, first_is_own, "{name}: what is process 1");
        if name == "shared" {
            let sleeping = app.sh("one", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
            assert!(sleeping.matches("sleep infinity").count() >= 2, "each sees the other's: {sleeping}");
        }
    }
}

#[test]
fn sysctls_hold_in_the_pod_alone_and_what_a_node_cannot_give_is_refused() {
    let Some(node) = Node::configured("allowedUnsafeSysctls: ['kernel.msg*']\n") else { return };
    let sysctls = |list: &[(&str, &str)]| {
        let items: Vec<String> =
            list.iter().map(|(name, value)| format!("{{name: {name}, value: '{value}'}}")).collect();
        format!("securityContext: {{sysctls: [{}]}}", items.join(", "))
    };
    let files = ["net/ipv4/ip_local_port_range", "net/ipv4/ip_unprivileged_port_start", "kernel/msgmax"];
    let read = |file: &str| fs::read_to_string(format!("/proc/sys/{file}")).unwrap();
    let before = files.map(read);
    let safe = sysctls(&[
        ("net.ipv4.ip_local_port_range", "20000 30000"),
        ("net/ipv4/ip_unprivileged_port_start", "80"),
        ("kernel.msgmax", "12345"),
    ]);
    let app = Inside::run(&node, "app", &sleepers(&safe, &[("main", "")]));
    for (file, value) in files.into_iter().zip(["20000\t30000", "80", "12345"]) {
        assert_eq!(app.sh("main", &format!("cat /proc/sys/{file}")), value, "{file}");
    }
    assert_eq!(files.map(read), before, "the host's own");

    let own_users = daemon_set("users", &sleepers("hostUsers: false", &[("main", "")]));
    node.apply("users.yaml", own_users);
    node.apply(
        "unsafe.yaml",
        daemon_set("unsafe", &sleepers(&sysctls(&[("net.core.somaxconn", "99")]), &[("main", "")])),
    );
    let refusal = "forbidden sysctl: \"net.core.somaxconn\" not allowlisted";
    node.agent.wait_event("unsafe-", "SysctlForbidden", |said| said.contains(refusal));
    // containerd before 2.0 and runc before 1.2 can't give a pod users of its own, and say so.
    let handlers = node.containerd.ask(async |cri| cri.status(Detail::Brief).await.unwrap().runtime_handlers);
    let can = handlers.iter().any(|handler| handler.features.as_ref().is_some_and(|it| it.user_namespaces));
    if !can {
        let refusal =
            "can't set `spec.hostUsers: false`, runtime handler \"\" does not support user namespaces";
        node.agent.wait_event("users-", "FailedCreatePodSandBox", |said| said.ends_with(refusal));
        assert_eq!(node.sandboxes().len(), 1, "only the first pod has one");
    }
}
