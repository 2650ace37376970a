//! What only recent runtimes can do: containerd 2 with runc 1.2 give a pod users of its own, mounts that are read-only all the way down,
//! and images as volumes. An older one is skipped, loudly; what is said of it then is in `namespaces` and `mounts`.

use std::fs;
use std::path::PathBuf;

use daemonlet::cri::Detail;
use daemonlet::cri::proto::RuntimeHandlerFeatures;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

use super::{Inside, sleepers};
use crate::kit::{Node, is_ready};

const IMAGE: &str = "docker.io/library/content:1";

/// What the runtime says that its usual handler can do.
fn features(node: &Node) -> RuntimeHandlerFeatures {
    let handlers = node.containerd.ask(async |cri| cri.status(Detail::Brief).await.unwrap().runtime_handlers);
    let usual = handlers.into_iter().find(|handler| handler.name.is_empty());
    usual.and_then(|handler| handler.features).unwrap_or_default()
}

fn skipped(what: &str) {
    eprintln!("SKIPPED: the runtime can't do {what}: `make test-containerd` has a newer one");
}

#[test]
fn a_pod_with_users_of_its_own_has_none_of_the_hosts_nor_of_anothers() {
    let Some(mut node) = Node::start() else { return };
    if !features(&node).user_namespaces {
        return skipped("user namespaces");
    }
    let volume = "hostUsers: false\nvolumes: [{name: data, emptyDir: {}}]";
    let mount = "volumeMounts: [{name: data, mountPath: /data}]";
    let first_of_range = |app: &Inside<'_>| -> u32 {
        let map = app.sh("main", "cat /proc/self/uid_map");
        let [inside, outside, count]: [u32; 3] =
            map.split_whitespace().map(|it| it.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((inside, count, outside % 65536), (0, 65536, 0), "{map}");
        outside
    };
    let (one, other) = (
        Inside::run(&node, "one", &sleepers(volume, &[("main", mount), ("second", mount)])),
        Inside::run(&node, "other", &sleepers(volume, &[("main", mount)])),
    );
    let (range, range_of_other) = (first_of_range(&one), first_of_range(&other));
    assert!(range >= 65536 && range_of_other >= 65536 && range != range_of_other, "{range} {range_of_other}");
    let namespace = |container: &str| one.sh(container, "readlink /proc/self/ns/user");
    assert_eq!(namespace("main"), namespace("second"), "a pod's containers share it");

    // Root inside owns what it writes, and is nobody in particular outside.
    assert_eq!(one.sh("main", "touch /data/file && stat -c %u:%g /data/file"), "0:0");
    assert!(one.can("second", "rm /data/file"));
    let first = one.sh("main", "awk '/^NSpid/ {print $2}' /proc/self/status");
    assert!(!first.is_empty());

    // The range is the pod's for its life.
    let pod = one.pod.clone();
    node.agent.kill9();
    node.agent.launch();
    node.agent.wait_until_ready();
    node.kill(&pod, "main");
    node.agent.wait_pod("one", "restarted", |pod| {
        let statuses = pod.status.clone().unwrap_or_default().container_statuses.unwrap_or_default();
        is_ready(pod) && statuses.iter().any(|status| status.restart_count == 1)
    });
    assert_eq!(first_of_range(&Inside::ready(&node, "one")), range);
}

#[test]
fn a_mount_that_is_read_only_all_the_way_down_has_no_way_around() {
    let Some(node) = Node::start() else { return };
    let handlers = node.containerd.ask(async |cri| cri.status(Detail::Brief).await.unwrap().runtime_handlers);
    if !handlers.iter().any(|it| it.features.as_ref().is_some_and(|it| it.recursive_read_only_mounts)) {
        return skipped("recursive read-only mounts");
    }
    let host = node.path("tree");
    fs::create_dir_all(host.join("below")).unwrap();
    let _mount = Mounted::tmpfs(host.join("below"));
    let volume = format!("volumes: [{{name: tree, hostPath: {{path: {}}}}}]", host.display());
    let mounted = |name: &str, how: &str| {
        format!(
            "{{name: tree, mountPath: /{name}, readOnly: true, mountPropagation: None, recursiveReadOnly: {how}}}"
        )
    };
    let mounts = format!(
        "volumeMounts: [{}, {}, {}]",
        mounted("enabled", "Enabled"),
        mounted("if-possible", "IfPossible"),
        mounted("disabled", "Disabled")
    );
    let app = Inside::run(&node, "app", &sleepers(&volume, &[("main", &mounts)]));
    for (path, can) in [
        ("/enabled", false),
        ("/enabled/below", false),
        ("/if-possible/below", false),
        ("/disabled", false),
        ("/disabled/below", true),
    ] {
        assert_eq!(app.can("main", &format!("touch {path}/file")), can, "{path}");
    }
}

#[test]
fn an_image_is_a_volume_that_nobody_writes() {
    let Some(node) = Node::start() else { return };
    let version = node.containerd.ask(async |cri| cri.version().await.unwrap().runtime_version);
    let numbers: Vec<u32> =
        version.trim_start_matches('v').split(['.', '~', '+', '-']).map_while(|it| it.parse().ok()).collect();
    if numbers < vec![2, 1] {
        return skipped("image volumes");
    }
    node.containerd.import_busybox(IMAGE, &json!({}), &[("content/deep/words", "from an image")]);
    let volume =
        format!("volumes: [{{name: content, image: {{reference: {IMAGE}, pullPolicy: IfNotPresent}}}}]");
    let mounts = "volumeMounts: [{name: content, mountPath: /whole}]";
    let app = Inside::run(&node, "app", &sleepers(&volume, &[("main", mounts)]));
    assert_eq!(app.sh("main", "cat /whole/content/deep/words"), "from an image");
    assert!(!app.can("main", "touch /whole/file"), "it is read-only");
}

/// A file system of the test's own, until it goes out of scope.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(path: PathBuf) -> Self {
        mount(None::<&str>, &path, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        Self(path)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
