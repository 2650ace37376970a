//! What a container's processes may do: capabilities, seccomp, `no_new_privs`, what of `/proc` and the root file system is shut.

use std::fs;

use super::{Inside, node_with, sleepers};
use crate::kit::Node;

/// What containerd gives to containers that ask for nothing.
const DEFAULT: u64 = 0xa804_25fb;
const NET_ADMIN: u64 = 1 << 12;
const NET_BIND_SERVICE: u64 = 1 << 10;
const CHOWN: u64 = 1;

/// The capabilities that the test itself has: a privileged container can't have more.
fn own_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

#[test]
fn capabilities_are_the_runtimes_own_with_what_is_added_and_without_what_is_dropped() {
    let Some(node) = Node::start() else { return };
    let spec = sleepers(
        "",
        &[
            ("plain", ""),
            ("adds", "securityContext: {capabilities: {add: [NET_ADMIN]}}"),
            ("drops", "securityContext: {capabilities: {drop: [CHOWN]}}"),
            ("none", "securityContext: {capabilities: {drop: [ALL]}}"),
            ("one", "securityContext: {capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}"),
            ("user", "securityContext: {runAsUser: 1000}"),
            ("privileged", "securityContext: {privileged: true}"),
        ],
    );
    let app = Inside::run(&node, "app", &spec);
    for (container, effective, bounding) in [
        ("plain", DEFAULT, DEFAULT),
        ("adds", DEFAULT | NET_ADMIN, DEFAULT | NET_ADMIN),
        ("drops", DEFAULT & !CHOWN, DEFAULT & !CHOWN),
        ("none", 0, 0),
        ("one", NET_BIND_SERVICE, NET_BIND_SERVICE),
        ("user", 0, DEFAULT),
        ("privileged", own_capabilities(), own_capabilities()),
    ] {
        let hex = |field: &str| u64::from_str_radix(&app.status(container, field), 16).unwrap();
        assert_eq!(hex("CapEff"), effective, "{container}: {:x}", hex("CapEff"));
        assert_eq!(hex("CapBnd"), bounding, "{container}: {:x}", hex("CapBnd"));
    }
    assert!(!app.can("drops", "touch /tmp/x && chown 1 /tmp/x"));
    // Without a word of seccomp, as a kubelet without `seccompDefault`: none.
    assert_eq!((app.status("plain", "Seccomp"), app.status("plain", "NoNewPrivs")), ("0".into(), "0".into()));

    // What of the host's state is shut, and open to the privileged.
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/proc/acpi", "/sys/firmware"]
    {
        if !std::path::Path::new(path).exists() {
            continue;
        }
        assert!(app.mount("plain", path).is_some(), "{path} is masked");
        assert_eq!(app.mount("privileged", path), None, "{path} is as it is");
    }
    assert!(!app.can("plain", "echo 0 > /proc/sys/kernel/domainname"));
    assert!(app.can("privileged", "cat /proc/sys/kernel/domainname > /proc/sys/kernel/domainname"));
    assert!(app.mount("plain", "/proc/sys").is_some_and(|line| line.contains(" ro,")));
    assert_eq!(app.mount("privileged", "/proc/sys"), None);
}

#[test]
fn seccomp_is_the_containers_profile_or_the_pods_or_the_nodes_default() {
    let Some(node) = node_with(|node| {
        let profiles = node.path("state/seccomp/profiles");
        fs::create_dir_all(&profiles).unwrap();
        let refuses_mkdir = r#"{"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}"#;
        fs::write(profiles.join("no-mkdir.json"), refuses_mkdir).unwrap();
        "seccompDefault: true\n".to_owned()
    }) else {
        return;
    };
    let containers = [
        ("plain", ""),
        ("unconfined", "securityContext: {seccompProfile: {type: Unconfined}}"),
        (
            "local",
            "securityContext: {seccompProfile: {type: Localhost, localhostProfile: profiles/no-mkdir.json}}",
        ),
        ("shut", "securityContext: {allowPrivilegeEscalation: false}"),
        ("privileged", "securityContext: {privileged: true}"),
    ];
    let by_default = Inside::run(&node, "by-default", &sleepers("", &containers[..1]));
    let of_pod = sleepers("securityContext: {seccompProfile: {type: RuntimeDefault}}", &containers);
    let app = Inside::run(&node, "app", &of_pod);
    let seccomp = |pod: &Inside<'_>, container: &str| pod.status(container, "Seccomp");
    assert_eq!(seccomp(&by_default, "plain"), "2");
    for (container, mode) in
        [("plain", "2"), ("unconfined", "0"), ("local", "2"), ("shut", "2"), ("privileged", "0")]
    {
        assert_eq!(seccomp(&app, container), mode, "{container}");
    }
    assert!(!app.can("local", "mkdir /tmp/x"));
    assert!(app.can("plain", "mkdir /tmp/x"));
    // What the runtime's own profile shuts even to root.
    assert!(!app.can("plain", "unshare -U true"));
    for (container, set) in [("plain", "0"), ("shut", "1")] {
        assert_eq!(app.status(container, "NoNewPrivs"), set, "{container}");
    }
}

#[test]
fn a_read_only_root_is_read_only_but_for_its_volumes() {
    let Some(node) = Node::start() else { return };
    let spec = sleepers(
        "volumes: [{name: work, emptyDir: {}}]",
        &[
            (
                "shut",
                "securityContext: {readOnlyRootFilesystem: true}, volumeMounts: [{name: work, mountPath: /vol}]",
            ),
            ("open", ""),
        ],
    );
    let app = Inside::run(&node, "app", &spec);
    assert!(!app.can("shut", "touch /tmp/x"));
    assert!(app.can("shut", "touch /vol/x && echo x > /dev/termination-log"));
    assert!(app.can("open", "touch /tmp/x"));
    assert!(
        app.mount("shut", "/")
            .is_some_and(|line| line.split(' ').nth(5).is_some_and(|o| o.starts_with("ro")))
    );
}
