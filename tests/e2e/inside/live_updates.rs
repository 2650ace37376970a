//! Volumes follow the store while their containers run; what was read at a container's start does not.

use std::time::{Duration, Instant};

use super::{Inside, restarts, sleepers};
use crate::kit::{Node, container_ids, daemon_set, wait_until};

/// A kubelet takes a minute and more.
const SOON: Duration = Duration::from_secs(15);

fn objects(level: &str, more: &str) -> String {
    format!(
        "
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: test}}
data: {{level: {level}{more}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: keys, namespace: test}}
stringData: {{token: of-{level}}}
"
    )
}

#[test]
fn volumes_follow_the_store_and_sub_paths_and_variables_do_not() {
    let Some(node) = Node::start() else { return };
    let spec = sleepers(
        "
volumes:
- {name: settings, configMap: {name: settings}}
- {name: keys, secret: {secretName: keys}}
- name: all
  projected: {sources: [{configMap: {name: settings}}, {secret: {name: keys}}]}
- name: picked
  configMap: {name: settings, items: [{key: level, path: deep/er/level}]}",
        &[(
            "main",
            "
  env: [{name: LEVEL, valueFrom: {configMapKeyRef: {name: settings, key: level}}}],
  volumeMounts: [{name: settings, mountPath: /settings}, {name: keys, mountPath: /keys}, {name: all, mountPath: /all},
    {name: picked, mountPath: /picked}, {name: settings, mountPath: /one, subPath: level}]",
        )],
    );
    node.apply("objects.yaml", objects("low", ", extra: x"));
    node.apply("app.yaml", daemon_set("app", &spec));
    let app = Inside::ready(&node, "app");
    let show = || {
        app.sh("main", "cat /settings/level /keys/token /all/level /all/token /picked/deep/er/level | tr '\\n' ' '; ls /settings")
    };
    let fixed = || app.sh("main", "cat /one; echo -$LEVEL; tr '\\0' '\\n' < /proc/1/environ | grep LEVEL");
    assert_eq!(show(), "lowof-lowlowof-lowlowextra\nlevel");
    assert_eq!(fixed(), "low-low\nLEVEL=low");
    // A program that keeps its directory open sees a swap of one link, and never half of an update.
    let before = app.sh("main", "readlink /settings/..data");

    node.apply("objects.yaml", objects("high", ", other: it"));
    let applied = Instant::now();
    wait_until("the volumes have followed", || show() == "highof-highhighof-highhighlevel\nother");
    assert!(applied.elapsed() < SOON, "{:?}", applied.elapsed());
    assert_ne!(app.sh("main", "readlink /settings/..data"), before);
    assert_eq!(app.sh("main", "ls -d /settings/..2* | wc -l"), "1", "the old files are gone");
    assert_eq!(fixed(), "low-low\nLEVEL=low");
    let after = node.agent.wait_ready("app");
    assert_eq!((container_ids(&after), restarts(&after, "main")), (container_ids(&app.pod), 0));

    // An object that is deleted leaves what it said: absence is no news.
    node.delete("objects.yaml");
    node.apply("other.yaml", daemon_set("other", &sleepers("", &[("main", "")])));
    node.agent.wait_ready("other");
    assert_eq!(show(), "highof-highhighof-highhighlevel\nother");

    // A container that starts anew reads everything anew.
    node.apply("objects.yaml", objects("top", ""));
    wait_until("the volumes have followed", || show().starts_with("top"));
    node.kill(&after, "main");
    let pod = node
        .agent
        .wait_pod("app", "restarted", |pod| restarts(pod, "main") == 1 && crate::kit::is_ready(pod));
    let app = Inside { node: &node, pod };
    assert_eq!(app.sh("main", "cat /one; tr '\\0' '\\n' < /proc/1/environ | grep LEVEL"), "topLEVEL=top");
}

#[test]
fn a_volume_waits_for_its_object_unless_it_is_optional() {
    let Some(node) = Node::start() else { return };
    let optional = sleepers(
        "
volumes:
- {name: map, configMap: {name: settings, optional: true}}
- {name: secret, secret: {secretName: keys, optional: true}}
- name: all
  projected: {sources: [{configMap: {name: settings, optional: true}}, {downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}]}
- {name: key, configMap: {name: here, optional: true, items: [{key: missing, path: x}, {key: level, path: level}]}}",
        &[(
            "main",
            "volumeMounts: [{name: map, mountPath: /map}, {name: secret, mountPath: /secret}, {name: all, mountPath: /all}, {name: key, mountPath: /key}]",
        )],
    );
    let needed = |source: &str| {
        sleepers(
            &format!("volumes: [{{name: data, {source}}}]"),
            &[("main", "volumeMounts: [{name: data, mountPath: /data}]")],
        )
    };
    node.apply("here.yaml", objects("here", "").replace("settings", "here").replace("keys", "others"));
    node.apply("optional.yaml", daemon_set("optional", &optional));
    for (name, source, message) in [
        ("map", "configMap: {name: settings}", "configmap \"settings\" not found"),
        ("secret", "secret: {secretName: keys}", "secret \"keys\" not found"),
        (
            "map-key",
            "configMap: {name: here, items: [{key: missing, path: x}]}",
            "configmap references non-existent config key: missing",
        ),
        (
            "secret-key",
            "secret: {secretName: others, items: [{key: missing, path: x}]}",
            "references non-existent secret key: missing",
        ),
        ("all", "projected: {sources: [{secret: {name: keys}}]}", "secret \"keys\" not found"),
    ] {
        node.apply(&format!("{name}.yaml"), daemon_set(name, &needed(source)));
        let message = format!("MountVolume.SetUp failed for volume \"data\" : {message}");
        node.agent.wait_event(&format!("{name}-"), "FailedMount", |said| said == message);
    }
    let app = Inside::ready(&node, "optional");
    assert_eq!(
        app.sh("main", "ls /map /secret /all /key"),
        "/all:\nname\n\n/key:\nlevel\n\n/map:\n\n/secret:"
    );
    assert_eq!(node.sandboxes().len(), 1, "only the pod that can be has a sandbox");

    node.apply("objects.yaml", objects("late", ""));
    for name in ["map", "secret", "all"] {
        Inside::ready(&node, name);
    }
    wait_until("what is optional came as well", || {
        app.sh("main", "cat /map/level /secret/token /all/level 2>/dev/null || true") == "lateof-latelate"
    });
}
