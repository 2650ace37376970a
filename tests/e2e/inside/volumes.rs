//! What is in volumes: media, layouts, modes and owners. Rules: `pkg/volume` (emptyDir, configMap, secret, downwardAPI, projected),
//! `atomic_writer.go` and `SetVolumeOwnership`.

use super::{Inside, sleepers};
use crate::kit::{Node, daemon_set, wait_until};

const OBJECTS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: test}
data: {level: low, place: here}
binaryData: {raw: AAEC/w==}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: test}
stringData: {token: s3cret}
---
apiVersion: v1
kind: Secret
metadata:
  name: robot-token
  namespace: test
  annotations: {kubernetes.io/service-account.name: robot}
type: kubernetes.io/service-account-token
stringData: {token: who-i-am}
---
";

const VOLUMES: &str = "
volumes:
- {name: disk, emptyDir: {sizeLimit: 1Mi}}
- {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
- {name: by-pod, emptyDir: {medium: Memory}}
- {name: map, configMap: {name: settings}}
- {name: items, configMap: {name: settings, defaultMode: 0600, items: [{key: level, path: a/b/level}, {key: place, path: place, mode: 0444}]}}
- {name: secret, secret: {secretName: keys, defaultMode: 0400}}
- name: downward
  downwardAPI:
    items:
    - {path: labels, fieldRef: {fieldPath: metadata.labels}}
    - {path: name, mode: 0600, fieldRef: {fieldPath: metadata.name}}
    - {path: memory, resourceFieldRef: {containerName: main, resource: limits.memory, divisor: 1Mi}}
- name: projected
  projected:
    defaultMode: 0440
    sources:
    - serviceAccountToken: {path: token, expirationSeconds: 3600}
    - configMap: {name: settings, items: [{key: level, path: level}]}
    - secret: {name: keys, items: [{key: token, path: secrets/token, mode: 0400}]}
    - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
serviceAccountName: robot
";

const MOUNTS: &str = "resources: {limits: {memory: 32Mi}}, volumeMounts: [{name: disk, mountPath: /disk},
  {name: memory, mountPath: /memory}, {name: by-pod, mountPath: /by-pod}, {name: map, mountPath: /map}, {name: items, mountPath: /items},
  {name: secret, mountPath: /secret}, {name: by-pod, mountPath: /secret/nested}, {name: downward, mountPath: /downward}, {name: projected, mountPath: /projected}, {name: disk, mountPath: /part, subPath: a/b}]";

/// Mode, owner and group of what is behind a path.
fn owners(app: &Inside<'_>, paths: &[&str]) -> Vec<String> {
    let listed = app.sh("main", &format!("stat -L -c '%a %u %g' {}", paths.join(" ")));
    paths.iter().zip(listed.lines()).map(|(path, owner)| format!("{path} {owner}")).collect()
}

#[test]
fn volumes_hold_what_their_sources_say() {
    let Some(node) = Node::start() else { return };
    node.apply(
        "app.yaml",
        format!("{OBJECTS}{}", daemon_set("app", &sleepers(VOLUMES, &[("main", MOUNTS)]))),
    );
    let app = Inside::ready(&node, "app");
    let paths = [
        "/disk",
        "/memory",
        "/map",
        "/map/level",
        "/map/raw",
        "/items/a/b/level",
        "/items/place",
        "/secret",
        "/secret/token",
        "/downward/labels",
        "/downward/name",
        "/projected/token",
        "/projected/level",
        "/projected/secrets/token",
        "/map/..data",
    ];
    let modes = [
        "777", "777", "777", "644", "644", "600", "444", "777", "400", "644", "600", "440", "440", "400",
        "755",
    ];
    let expected: Vec<String> =
        paths.iter().zip(modes).map(|(path, mode)| format!("{path} {mode} 0 0")).collect();
    // A tmpfs is mounted with a sticky bit, or without.
    let found: Vec<String> =
        owners(&app, &paths).iter().map(|line| line.replace(" 1777 ", " 777 ")).collect();
    assert_eq!(found, expected);

    for (path, content) in [
        ("/map/level", "low"),
        ("/items/a/b/level", "low"),
        ("/secret/token", "s3cret"),
        ("/downward/name", app.name().as_str()),
        ("/downward/memory", "32"),
        ("/projected/token", "who-i-am"),
        ("/projected/level", "low"),
        ("/projected/secrets/token", "s3cret"),
        ("/projected/namespace", "test"),
    ] {
        assert_eq!(app.sh("main", &format!("cat {path}")), content, "{path}");
    }
    assert!(app.sh("main", "cat /downward/labels").lines().any(|line| line == "app=\"app\""));
    assert_eq!(app.sh("main", "od -An -tx1 /map/raw").trim(), "00 01 02 ff");
    // Each name is a link through `..data`, and that is one to a directory named after the time.
    assert_eq!(
        app.sh("main", "for link in /map/level /items/a /projected/secrets; do readlink $link; done"),
        "..data/level\n..data/a\n..data/secrets"
    );
    let stamped = app.sh("main", "readlink /map/..data");
    assert!(stamped.starts_with("..20") && stamped.len() >= "..2025_01_31_10_20_30.".len(), "{stamped}");
    assert_eq!(
        app.sh("main", "ls /items /secret /projected"),
        "/items:\na\nplace\n\n/projected:\nlevel\nnamespace\nsecrets\ntoken\n\n/secret:\nnested\ntoken"
    );

    // What is secret is on no disk, and what is made from the store is not the container's to change.
    for (path, on_memory, read_only) in [
        ("/disk", false, false),
        ("/memory", true, false),
        ("/map", false, true),
        ("/secret", true, true),
        ("/downward", true, true),
        ("/projected", true, true),
    ] {
        let line = app.mount("main", path).unwrap();
        assert_eq!(line.contains(" - tmpfs "), on_memory, "{line}");
        assert_eq!(line.split(' ').nth(5).unwrap().starts_with("ro"), read_only, "{line}");
    }
    let size = |path: &str| app.mount("main", path).unwrap();
    assert!(size("/memory").contains("size=1024k"), "{}", size("/memory"));
    assert!(size("/by-pod").contains("size=32768k"), "the pod's limit: {}", size("/by-pod"));
    assert!(!app.can("main", "head -c 2097152 /dev/zero > /memory/x"), "more than fits");
    assert!(app.can("main", "rm -f /memory/x; head -c 524288 /dev/zero > /memory/x"));
    assert!(app.can("main", "head -c 2097152 /dev/zero > /disk/x"), "on disk it is no quota");
}

#[test]
fn a_volumes_group_may_read_its_files_and_write_where_they_are_the_pods() {
    let Some(node) = Node::start() else { return };
    let context = "securityContext: {runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000}";
    let spec = sleepers(&format!("{context}{VOLUMES}"), &[("main", MOUNTS)]);
    let only_user = sleepers(&format!("securityContext: {{runAsUser: 1000}}{VOLUMES}"), &[("main", MOUNTS)]);
    node.apply(
        "app.yaml",
        format!("{OBJECTS}{}---\n{}", daemon_set("app", &spec), daemon_set("user", &only_user)),
    );
    let app = Inside::ready(&node, "app");
    for line in owners(&app, &["/disk", "/part", "/disk/a", "/memory", "/map", "/secret", "/projected"]) {
        let (path, owner) = line.split_once(' ').unwrap();
        assert!(owner == "2777 0 2000" || owner == "3777 0 2000", "{path}: {owner}");
    }
    let files = [
        "/map/level",
        "/items/a/b",
        "/items/a/b/level",
        "/secret/token",
        "/downward/name",
        "/projected/token",
    ];
    let expected = [
        "/map/level 644 0 2000",
        "/items/a/b 2755 0 2000",
        "/items/a/b/level 640 0 2000",
        "/secret/token 440 0 2000",
        "/downward/name 640 0 2000",
        "/projected/token 640 1000 2000",
    ];
    assert_eq!(owners(&app, &files), expected);
    assert_eq!(app.sh("main", "cat /secret/token /projected/secrets/token"), "s3crets3cret");
    assert!(app.can("main", "mkdir /disk/x /memory/x && touch /disk/x/y"));
    assert_eq!(app.sh("main", "stat -c '%g' /disk/x /disk/x/y /memory/x"), "2000\n2000\n2000");

    // Files that follow the store come with the same owners.
    let newer = OBJECTS
        .replace("level: low", "level: high")
        .replace("s3cret", "newer")
        .replace("who-i-am", "and-now");
    node.apply(
        "app.yaml",
        format!("{newer}{}---\n{}", daemon_set("app", &spec), daemon_set("user", &only_user)),
    );
    let contents = "cat /map/level /items/a/b/level /secret/token /projected/token /projected/secrets/token";
    wait_until("the new contents", || app.sh("main", contents) == "highhighnewerand-nownewer");
    assert_eq!(owners(&app, &files), expected);

    // With no group, the token is its one user's; other secrets are root's as their modes say.
    let user = Inside::ready(&node, "user");
    assert_eq!(owners(&user, &["/projected/token"]), ["/projected/token 600 1000 0"]);
    assert!(user.can("main", "cat /projected/token") && !user.can("main", "cat /secret/token"));
    assert!(user.can("main", "touch /disk/x /memory/x"), "anybody may write into an emptyDir");
}

#[test]
fn a_token_that_nobody_can_make_is_asked_for_by_name() {
    let Some(node) = Node::start() else { return };
    let spec = sleepers(
        "serviceAccountName: robot\nvolumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: token}}]}}]",
        &[("main", "volumeMounts: [{name: t, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]")],
    );
    node.apply("app.yaml", daemon_set("app", &spec));
    let event = node.agent.wait_event("app-", "FailedMount", |said| said.contains("volume \"t\""));
    let message = event["message"].as_str().unwrap();
    for part in ["robot", "kubernetes.io/service-account-token", "namespace test"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    node.apply("objects.yaml", OBJECTS.trim_end().trim_end_matches("---"));
    let app = Inside::ready(&node, "app");
    assert_eq!(app.sh("main", "cat /var/run/secrets/kubernetes.io/serviceaccount/token"), "who-i-am");
}
