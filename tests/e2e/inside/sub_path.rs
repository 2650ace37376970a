//! subPath and subPathExpr: a part of a volume, and never anything outside of it. Rule: `pkg/volume/util/subpath/subpath_linux.go`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use k8s_openapi::api::core::v1::Pod;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::{Inside, node_with, restarts, sleepers, waiting};
use crate::kit::{Node, daemon_set, is_ready, is_so_in_time, wait_until};

/// A directory of the host that no pod has any business in.
fn outside(node: &Node) -> PathBuf {
    let dir = node.path("outside");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("who"), "host\n").unwrap();
    dir
}

/// Everything in a directory, so that nothing new goes unseen.
fn listing(dir: &Path) -> Vec<String> {
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
fn volume(node: &Node, pod: &Pod, name: &str) -> PathBuf {
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
  command: [sh, -c, 'mkdir -p /work/real && ln -s real /work/link && echo volume > /work/real/who']
  volumeMounts: [{{name: work, mountPath: /work}}]",
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
            ("whole", "volumeMounts: [{name: work, mountPath: /work}]"),
        ],
    );
    let settings =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: test}\ndata: {level: low}\n";
    node.apply("app.yaml", format!("{settings}---\n{}", daemon_set("app", &spec)));
    let app = Inside::ready(&node, "app");
    assert!(app.can("main", "echo 1 > /made/x; echo 2 > /own/y; echo 3 >> /conf; echo 4 > /dot/z"));
    assert_eq!(
        app.sh("whole", &format!("cat /work/a/b/x /work/pods/{}/y /work/real/z", app.name())),
        "1\n2\n4"
    );
    assert_eq!(app.sh("main", "cat /linked /etc/app/level"), "volume\nlow");
    assert!(!app.can("main", "echo x > /linked") && !app.can("main", "echo x > /etc/app/level"));
    assert_eq!(app.sh("main", "ls /etc/app"), "level");
    // A directory that had to be made has the mode of its volume.
    assert_eq!(app.sh("whole", "stat -c %a /work/a /work/a/b /work/pods"), "777\n777\n777");
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
        "cd /work && ln -s /etc absolute && ln -s {out} host && ln -s {out}/who file && ln -s ../../../../../.. up && ln -s loop loop \
         && ln -s /proc/self/root magic && mkdir real && ln -s ../host real/twice",
        out = outside.display()
    );
    let volumes = format!(
        "
volumes: [{{name: work, emptyDir: {{}}}}]
initContainers:
- {{name: plant, image: 'busybox:1', command: [sh, -c, '{links}'], volumeMounts: [{{name: work, mountPath: /work}}]}}"
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
        node.agent.wait_event("app-", "Failed", |said| said == format!("Error: {message}"));
    }
    assert_eq!(listing(&outside), before);
}

/// The containers of the race: what each mounts, and a command that writes what it sees to `/seen`.
const VICTIMS: [(&str, &str, &str); 3] = [
    ("dir", "x", "cat /v/who >> /seen/dir; touch /v/mark"),
    ("file", "x/who", "cat /v >> /seen/file"),
    ("makes", "x/sub/made", "ls -d /v >/dev/null && echo volume >> /seen/makes; touch /v/mark"),
];

#[test]
fn a_link_swapped_in_while_containers_restart_never_shows_them_the_host() {
    let Some(node) = node_with(|_| "crashLoopBackOff: {maxContainerRestartPeriod: 1s}\n".to_owned()) else {
        return;
    };
    let outside = outside(&node);
    let before = listing(&outside);
    fs::create_dir(node.path("seen")).unwrap();
    let mut spec = format!(
        "
terminationGracePeriodSeconds: 1
volumes:
- {{name: work, emptyDir: {{}}}}
- {{name: seen, hostPath: {{path: {seen}}}}}
initContainers:
- name: plant
  image: busybox:1
  command: [sh, -c, 'mkdir -p /work/x/sub && echo volume > /work/x/who && ln -s {out} /work/link']
  volumeMounts: [{{name: work, mountPath: /work}}]
containers:
",
        seen = node.path("seen").display(),
        out = outside.display()
    );
    for (name, path, command) in VICTIMS {
        spec += &format!(
            "- {{name: {name}, image: 'busybox:1', command: [sh, -c, '{command}'], volumeMounts: [{{name: work, mountPath: /v, subPath: {path}}}, {{name: seen, mountPath: /seen}}]}}\n"
        );
    }
    node.apply("app.yaml", daemon_set("app", &spec));
    let seen = |name: &str| fs::read_to_string(node.path("seen").join(name)).unwrap_or_default();
    let starts = || VICTIMS.map(|(name, ..)| seen(name).lines().count());
    wait_until("each has run", || starts().iter().all(|count| *count > 0));
    let pod = node.agent.wait_pod("app", "it", |_| true);
    let work = volume(&node, &pod, "empty-dir/work");
    let swap = || {
        let (link, x) = (work.join("link"), work.join("x"));
        renameat2(AT_FDCWD, &link, AT_FDCWD, &x, RenameFlags::RENAME_EXCHANGE).unwrap();
    };

    // At rest: the link is there, so nobody starts until it is gone again.
    let why = |name: &str| {
        let of = format!("for volumeMount \"work\" of container \"{name}\"");
        [format!("failed to prepare subPath {of}"), format!("failed to create subPath directory {of}")]
    };
    swap();
    node.agent.wait_pod("app", "none starts, and says why", |pod| {
        VICTIMS.iter().all(|(name, ..)| why(name).contains(&waiting(pod, name).1))
    });
    let at_rest = starts();
    swap();
    wait_until("each starts again", || starts().iter().zip(at_rest).all(|(now, then)| *now > then));

    // In a race: both outcomes come about, and none is the host's.
    // A refusal that goes on is an Event once; the log has each.
    let refusals = || {
        let log = node.agent.log();
        let of = |name: &str| {
            let container = format!("container \\\"{name}\\\"");
            log.lines()
                .filter(|line| line.contains("cannot mount the subPath") && line.contains(&container))
                .count()
        };
        VICTIMS.map(|(name, ..)| of(name))
    };
    let (started, refused) = (starts(), refusals());
    let is_over = AtomicBool::new(false);
    let both_ways = thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                swap();
                swaps += 1;
            }
            swaps
        });
        let both_ways = is_so_in_time(|| {
            starts().iter().zip(started).all(|(now, then)| *now >= then + 3)
                && refusals().iter().zip(refused).all(|(now, then)| *now > then)
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(swapper.join().unwrap() > 1000);
        both_ways
    });
    assert!(both_ways, "started {:?}, refused {:?}", starts(), refusals());
    for (name, ..) in VICTIMS {
        assert!(seen(name).lines().all(|line| line == "volume"), "{name} has seen {:?}", seen(name));
    }
    assert_eq!(listing(&outside), before, "nothing was made or marked outside");
}
