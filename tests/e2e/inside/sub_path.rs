//! subPath and subPathExpr: a part of a volume, and never anything outside of it. Rule: `pkg/volume/util/subpath/subpath_linux.go`.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use super::{Inside, restarts, sleepers, waiting};
use crate::kit::{Node, daemon_set, is_ready, wait_until};

/// A directory of the host that no pod has any business in.
pub(super) fn outside(node: &Node) -> PathBuf {
    let dir = node.path("outside");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("who"), "host\n").unwrap();
    dir
}

/// Everything in a directory, so that nothing new goes unseen.
pub(super) fn listing(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found.sort();
    found
}

/// Where a volume lies on the host, by its plugin and name.
pub(super) fn volume(node: &Node, pod: &Pod, name: &str) -> PathBuf {
    let uid = pod.metadata.uid.as_deref().unwrap();
    node.path("state/pods").join(uid).join(format!("volumes/kubernetes.io~{name}"))
}

#[test]
fn a_sub_path_shows_its_part_of_the_volume() {
    let Some(node) = Node::start() else { return };
    fs::create_dir_all(node.path("host/etc")).unwrap();
    fs::write(node.path("host/etc/conf"), "of the host\n").unwrap();
    let volumes = format!(
        "
volumes:
- {{name: work, emptyDir: {{}}}}
- {{name: map, configMap: {{name: settings}}}}
- {{name: host, hostPath: {{path: {}}}}}
initContainers:
- name: plant
  image: busybox:1
  command: [sh, -c, 'mkdir -p /vol/real && ln -s real /vol/link && echo volume > /vol/real/who']
  volumeMounts: [{{name: work, mountPath: /vol}}]",
        node.path("host").display()
    );
    let spec = sleepers(
        &volumes,
        &[
            (
                "main",
                "
  env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}],
  volumeMounts: [{name: work, mountPath: /made, subPath: a/b}, {name: work, mountPath: /own, subPathExpr: pods/$(POD)},
    {name: work, mountPath: /linked, subPath: link/who, readOnly: true}, {name: map, mountPath: /etc/app/level, subPath: level},
    {name: host, mountPath: /conf, subPath: etc/conf}, {name: work, mountPath: /dot, subPath: ./real/.}]",
            ),
            ("whole", "volumeMounts: [{name: work, mountPath: /vol}]"),
        ],
    );
    let settings =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: test}\ndata: {level: low}\n";
    node.apply("app.yaml", format!("{settings}---\n{}", daemon_set("app", &spec)));
    let app = Inside::ready(&node, "app");
    assert!(app.can("main", "echo 1 > /made/x; echo 2 > /own/y; echo 3 >> /conf; echo 4 > /dot/z"));
    assert_eq!(app.sh("whole", &format!("cat /vol/a/b/x /vol/pods/{}/y /vol/real/z", app.name())), "1\n2\n4");
    assert_eq!(app.sh("main", "cat /linked /etc/app/level"), "volume\nlow");
    assert!(!app.can("main", "echo x > /linked") && !app.can("main", "echo x > /etc/app/level"));
    assert_eq!(app.sh("main", "ls /etc/app"), "level");
    // A directory that had to be made has the mode of its volume.
    assert_eq!(app.sh("whole", "stat -c %a /vol/a /vol/a/b /vol/pods"), "777\n777\n777");
    assert_eq!(fs::read_to_string(node.path("host/etc/conf")).unwrap(), "of the host\n3\n");
    // What the runtime is given is a place that no container can change.
    let bound = node.path("state/pods").join(app.uid()).join("volume-subpaths");
    let expected = ["host/main/4", "map/main/3", "work/main/0", "work/main/1", "work/main/2", "work/main/5"];
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut found: Vec<PathBuf> =
        points.filter_map(|point| Some(point.strip_prefix(&bound).ok()?.into())).collect();
    found.sort();
    assert_eq!(found, expected.map(PathBuf::from));
}

#[test]
fn a_container_that_another_agent_starts_anew_has_its_volumes_as_they_are() {
    let Some(mut node) = Node::start() else { return };
    let settings = |level: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: test}}\ndata: {{level: {level}}}\n"
        )
    };
    let spec = sleepers(
        "
volumes:
- {name: disk, emptyDir: {}}
- {name: memory, emptyDir: {medium: Memory}}
- {name: map, configMap: {name: settings}}",
        &[(
            "main",
            "volumeMounts: [{name: disk, mountPath: /disk, subPath: a/b}, {name: memory, mountPath: /memory},
    {name: map, mountPath: /level, subPath: level}, {name: memory, mountPath: /part, subPath: c}]",
        )],
    );
    node.apply("settings.yaml", settings("low"));
    let app = Inside::run(&node, "app", &spec);
    app.sh("main", "echo 1 > /disk/x; echo 2 > /memory/y; echo 3 > /part/z");
    let before = app.pod;
    let roots = |node: &Node| {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.lines().filter(|line| line.split(' ').nth(4) == node.path("state").to_str()).count()
    };
    let bound = roots(&node);
    node.agent.restart();
    assert_eq!(roots(&node), bound, "the root is not bound onto itself once more");
    node.apply("settings.yaml", settings("high"));
    let map = volume(&node, &before, "configmap/map");
    wait_until("the volume has followed", || {
        fs::read_to_string(map.join("level")).is_ok_and(|level| level == "high")
    });
    assert_eq!(node.exec(&before, "main", &["cat", "/level"]), "low", "what the container mounted stays");
    node.kill(&before, "main");
    let pod = node.agent.wait_pod("app", "restarted", |pod| restarts(pod, "main") == 1 && is_ready(pod));
    let app = Inside { node: &node, pod };
    assert_eq!(Some(app.uid()), before.metadata.uid);
    assert_eq!(app.sh("main", "cat /disk/x /memory/y /part/z /memory/c/z"), "1\n2\n3\n3");
    assert_eq!(app.sh("main", "cat /level"), "high", "what the path means at the start");
}

#[test]
fn a_sub_path_that_leads_out_of_its_volume_is_refused() {
    let Some(node) = Node::start() else { return };
    let outside = outside(&node);
    let before = listing(&outside);
    let links = format!(
        "cd /vol && ln -s /etc absolute && ln -s {out} host && ln -s {out}/who file && ln -s ../../../../../.. up && ln -s loop loop \
         && ln -s /proc/self/root magic && mkdir real && ln -s ../host real/twice",
        out = outside.display()
    );
    let volumes = format!(
        "
volumes: [{{name: work, emptyDir: {{}}}}]
initContainers:
- {{name: plant, image: 'busybox:1', command: [sh, -c, '{links}'], volumeMounts: [{{name: work, mountPath: /vol}}]}}"
    );
    let refused = [
        ("absolute", "subPath: absolute"),
        ("dir", "subPath: host"),
        ("file", "subPath: file"),
        ("below", "subPath: host/sub"),
        ("missing", "subPath: host/sub/made"),
        ("up", "subPath: up/etc"),
        ("loop", "subPath: loop"),
        ("magic", "subPath: magic/etc"),
        ("twice", "subPath: real/twice"),
        ("expr", "subPathExpr: $(STEPS)"),
        ("root", "subPathExpr: $(ROOT)"),
        ("unknown", "subPathExpr: $(NOBODY)/x"),
    ];
    let env = "env: [{name: STEPS, value: ../../..}, {name: ROOT, value: /etc}]";
    let fields =
        refused.map(|(_, path)| format!("{env}, volumeMounts: [{{name: work, mountPath: /v, {path}}}]"));
    let containers: Vec<(&str, &str)> = refused
        .iter()
        .zip(&fields)
        .map(|((name, _), fields)| (*name, fields.as_str()))
        .chain([("fine", "")])
        .collect();
    node.apply("app.yaml", daemon_set("app", &sleepers(&volumes, &containers)));
    let pod = node.agent.wait_pod("app", "all but one refused", |pod| {
        refused.iter().all(|(name, _)| !waiting(pod, name).1.is_empty()) && waiting(pod, "fine").0.is_empty()
    });
    for (name, _) in refused {
        let (reason, message) = waiting(&pod, name);
        assert_eq!(reason, "CreateContainerConfigError", "{name}: {message}");
        let of = format!("for volumeMount \"work\" of container \"{name}\"");
        let allowed = match name {
            "expr" => vec!["unable to provision SubPath `../../..`: must not contain '..'".to_owned()],
            "root" => vec!["error SubPath `/etc` must not be an absolute path".to_owned()],
            "unknown" => vec!["missing value for NOBODY".to_owned()],
            _ => vec![
                format!("failed to prepare subPath {of}"),
                format!("failed to create subPath directory {of}"),
            ],
        };
        // What the host looks like is none of the pod's business.
        assert!(allowed.contains(&message), "{name}: {message}");
    }
    // From the tenth on they are told as one.
    for (name, _) in &refused[..9] {
        let message = waiting(&pod, name).1;
        node.agent.wait_event("app-", "Failed", |said| said == format!("Error: {message}"));
    }
    assert_eq!(listing(&outside), before);
}
