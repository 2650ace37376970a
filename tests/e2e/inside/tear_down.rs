//! What is left of a pod once its DaemonSet is deleted: nothing of its own, and all that is somebody else's.

use std::fs;

use nix::mount::{MntFlags, umount2};

use super::{Inside, sleepers};
use crate::kit::{Node, is_so_in_time};
use crate::updates::places_of;

const OBJECTS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: test}
data: {level: low}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: test}
stringData: {token: s3cret}
";

#[track_caller]
fn expect_nothing_left(node: &Node, uid: &str) {
    let mut places = Vec::new();
    let is_clean = || {
        places = places_of(node, uid);
        places.is_empty()
    };
    assert!(is_so_in_time(is_clean), "what is left of the pod: {places:#?}");
}

#[test]
fn volumes_of_every_kind_go_with_their_pod_and_what_is_the_hosts_stays() {
    let Some(node) = Node::start() else { return };
    fs::create_dir(node.path("host")).unwrap();
    fs::write(node.path("host/file"), "x").unwrap();
    node.apply("objects.yaml", OBJECTS);
    let volumes = format!(
        "
volumes:
- {{name: disk, emptyDir: {{}}}}
- {{name: memory, emptyDir: {{medium: Memory}}}}
- {{name: map, configMap: {{name: settings}}}}
- {{name: keys, secret: {{secretName: keys}}}}
- {{name: all, projected: {{sources: [{{secret: {{name: keys}}}}]}}}}
- {{name: host, hostPath: {{path: {}}}}}",
        node.path("host").display()
    );
    let mounts = "volumeMounts: [{name: disk, mountPath: /disk}, {name: memory, mountPath: /memory}, {name: map, mountPath: /map},
  {name: keys, mountPath: /keys}, {name: all, mountPath: /all}, {name: host, mountPath: /host}, {name: memory, mountPath: /sub, subPath: a},
  {name: map, mountPath: /level, subPath: level}, {name: host, mountPath: /file, subPath: file}, {name: all, mountPath: /disk/all}]";
    let app = Inside::run(&node, "app", &sleepers(&volumes, &[("main", mounts)]));
    // A container may leave behind what is hard to remove: links to the host, and files that nobody may write.
    app.sh(
        "main",
        &format!(
            "ln -s {0} /disk/link && ln -s {0} /memory/link && mkdir -p /disk/d/e && chmod 0 /disk/d",
            node.path("host").display()
        ),
    );
    let uid = app.uid();
    assert!(!places_of(&node, &uid).is_empty());
    // Others that look at the host hold what they saw, as agents for logs and metrics do, and must not hold up anything.
    let looks_on = sleepers(
        &format!("volumes: [{{name: state, hostPath: {{path: {}}}}}]", node.path("state").display()),
        &[
            (
                "follows",
                "volumeMounts: [{name: state, mountPath: /state, mountPropagation: HostToContainer}]",
            ),
            ("holds", "volumeMounts: [{name: state, mountPath: /state}]"),
        ],
    );
    let looks_on = Inside::run(&node, "looks-on", &looks_on);
    let memory = format!("/state/pods/{uid}/volumes/kubernetes.io~empty-dir/memory");
    assert!(looks_on.mount("follows", &memory).is_some() && looks_on.mount("holds", &memory).is_some());
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    expect_nothing_left(&node, &uid);
    assert!(looks_on.mount("follows", &memory).is_none());
    assert_eq!(fs::read_to_string(node.path("host/file")).unwrap(), "x");
}

#[test]
fn a_mount_that_a_container_has_left_in_its_volume_is_never_deleted_through() {
    let Some(mut node) = Node::start() else { return };
    fs::create_dir(node.path("precious")).unwrap();
    fs::write(node.path("precious/file"), "x").unwrap();
    let volumes = format!(
        "
volumes:
- {{name: data, emptyDir: {{}}}}
- {{name: precious, hostPath: {{path: {}}}}}",
        node.path("precious").display()
    );
    let fields = "securityContext: {privileged: true}, volumeMounts: [{name: data, mountPath: /data, mountPropagation: Bidirectional},
  {name: precious, mountPath: /precious}]";
    let app = Inside::run(&node, "app", &sleepers(&volumes, &[("main", fields)]));
    app.sh(
        "main",
        "mkdir -p /data/a/mnt /data/b && echo x > /data/b/own && mount --bind /precious /data/a/mnt",
    );
    let uid = app.uid();
    let point = node.path("state/pods").join(&uid).join("volumes/kubernetes.io~empty-dir/data/a/mnt");
    assert!(point.join("file").exists(), "the mount has reached the host");

    node.delete("app.yaml");
    let event = node.agent.wait_event("app-", "FailedKillPod", |said| said.contains("mounted below"));
    assert!(event["message"].as_str().unwrap().contains(&point.display().to_string()), "{event}");
    assert_eq!(fs::read_to_string(node.path("precious/file")).unwrap(), "x");
    assert!(point.join("file").exists(), "nor is it undone: somebody may use it");

    // Another agent knows no better, not even one that has lost its records.
    node.agent.kill9();
    fs::remove_dir_all(node.path("state/records")).unwrap();
    node.agent.launch();
    node.agent.wait_until_ready();
    node.agent.wait_event("app-", "FailedKillPod", |said| said.contains("mounted below"));
    assert_eq!(fs::read_to_string(node.path("precious/file")).unwrap(), "x");
    assert!(point.join("file").exists());

    umount2(&point, MntFlags::UMOUNT_NOFOLLOW).unwrap();
    node.agent.wait_gone("app");
    expect_nothing_left(&node, &uid);
    assert_eq!(fs::read_to_string(node.path("precious/file")).unwrap(), "x");
}
