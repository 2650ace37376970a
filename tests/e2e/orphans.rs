//! What pods have left whose records are gone: found and removed when the agent starts; what is somebody else's stays.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use daemonlet::cri::SandboxId;
use k8s_openapi::api::core::v1::Pod;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::kit::{Node, container_ids, daemon_set, wait_until};

const SPEC: &str = "
terminationGracePeriodSeconds: 0
containers:
- name: main
  image: busybox:1
  command: [sleep, infinity]
  volumeMounts: [{name: memory, mountPath: /memory}, {name: disk, mountPath: /disk}]
volumes:
- name: memory
  emptyDir: {medium: Memory}
- name: disk
  emptyDir: {}
";

/// As an API server would have given it.
const FOREIGN: &str = "0b1d61ae-7c3c-4f3d-9c39-3a2f6a4b5c6d";
/// As we would have given it, but nothing here says that we have.
const UNPROVEN: &str = "0b1d61ae-7c3c-8f3d-9c39-3a2f6a4b5c6d";

/// Where a pod has something on the node.
struct Traces {
    uid: String,
    pod_dir: PathBuf,
    log_dir: PathBuf,
    record: PathBuf,
}

impl Traces {
    fn of(node: &Node, pod: &Pod) -> Self {
        let (name, uid) = (pod.metadata.name.clone().unwrap(), pod.metadata.uid.clone().unwrap());
        Self {
            pod_dir: node.path("state/pods").join(&uid),
            log_dir: node.path("pod-logs").join(format!("test_{name}_{uid}")),
            record: node.path("state/records").join(format!("{uid}.json")),
            uid,
        }
    }

    /// Everything of the pod that is there.
    fn left(&self, node: &Node) -> Vec<String> {
        let mut left: Vec<String> = [&self.pod_dir, &self.log_dir, &self.record]
            .into_iter()
            .filter(|path| path.symlink_metadata().is_ok())
            .map(|path| path.display().to_string())
            .collect();
        left.extend(node.cgroups().into_iter().filter(|path| path.contains(&self.uid)));
        left.extend(
            links(node).into_iter().filter(|(_, target)| target.contains(&self.uid)).map(|(link, _)| link),
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(&self.uid)).map(str::to_owned));
        left
    }

    fn remove_sandbox(&self, node: &Node) {
        for sandbox in node.sandboxes() {
            if sandbox.metadata.is_some_and(|metadata| metadata.uid == self.uid) {
                let id = SandboxId::from(sandbox.id.as_str());
                node.containerd.ask(async |cri| {
                    cri.stop_pod_sandbox(&id).await.unwrap();
                    cri.remove_pod_sandbox(&id).await.unwrap();
                });
            }
        }
    }
}

/// The links for log collectors, and what they point at.
fn links(node: &Node) -> Vec<(String, String)> {
    let entries = fs::read_dir(node.path("container-logs")).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.display().to_string(), fs::read_link(&path).unwrap().display().to_string()))
        .collect()
}

#[test]
fn what_pods_without_a_record_have_left_goes_and_what_is_not_ours_stays() {
    let Some(mut node) = Node::start() else { return };
    let names = ["lost", "refused", "mounted", "kept"];
    for name in names {
        node.apply(&format!("{name}.yaml"), daemon_set(name, SPEC));
    }
    let pods = names.map(|name| node.agent.wait_ready(name));
    let [lost, refused, mounted, kept] = pods.each_ref().map(|pod| Traces::of(&node, pod));
    node.agent.kill9();

    for name in ["lost", "refused", "mounted"] {
        node.delete(&format!("{name}.yaml"));
    }
    for gone in [&lost, &refused, &mounted] {
        gone.remove_sandbox(&node);
        fs::remove_file(&gone.record).unwrap();
        assert!(gone.left(&node).len() >= 5, "directory, logs, link, cgroup, mount: {:#?}", gone.left(&node));
    }
    fs::write(&refused.record, "{").unwrap();
    let point = mounted.pod_dir.join("volumes/kubernetes.io~empty-dir/disk/inner");
    fs::create_dir(&point).unwrap();
    mount(Some("tmpfs"), &point, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
    fs::write(point.join("treasure"), "gold").unwrap();
    let foreign = leave_foreign(&node, &lost.uid);

    node.agent.launch();
    node.agent.wait_until_ready();
    for gone in [&lost, &refused] {
        wait_until("nothing is left of it", || gone.left(&node).is_empty());
    }
    wait_until("said why one is not removed", || {
        node.agent.log().contains(&format!("{}; unmount it", point.display()))
    });
    assert_eq!(fs::read_to_string(point.join("treasure")).unwrap(), "gold");
    for path in &foreign {
        assert!(path.symlink_metadata().is_ok(), "{} is not ours", path.display());
    }
    let again = node.agent.wait_ready("kept");
    assert_eq!(container_ids(&again), container_ids(&pods[3]));
    assert!(kept.left(&node).len() >= 6, "{:#?}", kept.left(&node));

    umount2(&point, MntFlags::empty()).unwrap();
    node.agent.restart();
    wait_until("nothing is left of it once the mount is gone", || mounted.left(&node).is_empty());
    for path in &foreign {
        assert!(path.symlink_metadata().is_ok(), "{} is not ours", path.display());
    }
}

/// Leaves what others may have on the machine; the cgroups beside those of a pod of ours.
fn leave_foreign(node: &Node, ours: &str) -> Vec<PathBuf> {
    let mut left = Vec::new();
    for uid in [FOREIGN, UNPROVEN] {
        let log_dir = node.path("pod-logs").join(format!("kube-system_other_{uid}"));
        left.push(log_dir.join("main"));
        let link = node.path("container-logs").join(format!("other_kube-system_main-{uid}.log"));
        symlink(log_dir.join("main/0.log"), &link).unwrap();
        left.push(link);
        let cgroups = node.cgroups();
        let pods = cgroups.iter().filter(|path| path.ends_with(ours));
        left.extend(pods.map(|path| PathBuf::from(path.replace(ours, uid))));
    }
    left.push(node.path("state/pods").join(FOREIGN).join("volumes"));
    left.push(node.path("state/pods/lost+found/x"));
    let dirs = left.iter().filter(|path| path.symlink_metadata().is_err());
    dirs.for_each(|path| fs::create_dir_all(path).unwrap());
    left
}
