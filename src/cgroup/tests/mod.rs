//! On this machine's own cgroups, below a root that only tests use.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

mod slices;

use super::*;

const UID: &str = "0a1b2c3d-0000-4000-8000-000000000002";

/// A manager of a root of its own, which goes with the test.
struct Fixture {
    manager: CgroupManager,
    version: Version,
    mount: PathBuf,
    root: String,
    children: Vec<Child>,
}

impl Fixture {
    /// One for each version that this machine has: both on a hybrid one.
    fn all() -> Vec<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        let mut found = Vec::new();
        for mount in mounts {
            let Ok(version) = Version::detect(&mount) else { continue };
            if hierarchy::trees(version, &mount).unwrap().is_empty() {
                continue;
            }
            let root =
                format!("/daemonlet-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let manager = CgroupManager::new(version, Driver::Cgroupfs, &mount, &root).unwrap();
            found.push(Self { manager, version, mount, root, children: Vec::new() });
        }
        found
    }

    fn pod(&self, class: &str) -> String {
        format!("{}{class}/pod{UID}", self.root)
    }

    /// A file of a cgroup in the tree of a controller; `None` if the kernel runs without it.
    fn read(&self, path: &str, controller: &str, file: &str) -> Option<String> {
        let tree = hierarchy::tree_of(self.version, &self.mount, controller).unwrap()?;
        let text = fs::read_to_string(tree.join(&path[1..]).join(file)).ok()?;
        Some(text.trim().to_owned())
    }

    fn dirs(&self, path: &str) -> Vec<PathBuf> {
        let trees = hierarchy::trees(self.version, &self.mount).unwrap();
        trees.into_iter().map(|tree| tree.join(&path[1..])).collect()
    }

    /// Starts a process in a container's cgroup below `path`, in every tree.
    fn start_in(&mut self, path: &str) {
        self.start_in_container(path, "container");
    }

    fn start_in_container(&mut self, path: &str, name: &str) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        for dir in self.dirs(path) {
            let container = dir.join(name);
            fs::create_dir_all(&container).unwrap();
            if dir.join("cpuset.cpus").exists() {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    fs::write(container.join(file), fs::read(dir.join(file)).unwrap()).unwrap();
                }
            }
            fs::write(container.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        self.children.push(child);
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = removal::remove(&self.dirs(&self.root));
    }
}

#[tokio::test]
async fn the_qos_hierarchy_is_made_and_limited_and_again_is_fine() {
    for fixture in Fixture::all() {
        let node = Limits { cpu_shares: Some(2048), memory: Some(1 << 30), ..Limits::default() };
        let first = fixture.manager.ensure_qos_hierarchy(&node, 512).await.unwrap();
        assert_eq!(fixture.manager.ensure_qos_hierarchy(&node, 512).await.unwrap(), first);
        for class in ["", "/burstable", "/besteffort"] {
            let path = format!("{}{class}", fixture.root);
            assert!(fixture.dirs(&path).iter().all(|dir| dir.is_dir()), "{path}");
        }
        let missing = first;
        let root = &fixture.root;
        if missing.contains("cpu") {
            continue;
        }
        let (file, values) = match fixture.version {
            Version::V1 => ("cpu.shares", ["2048", "512", "2"]),
            Version::V2 => ("cpu.weight", ["79", "20", "1"]),
        };
        for (class, value) in ["", "/burstable", "/besteffort"].iter().zip(values) {
            assert_eq!(
                fixture.read(&format!("{root}{class}"), "cpu", file).as_deref(),
                Some(value),
                "{class}"
            );
        }
    }
}

#[tokio::test]
async fn a_pods_cgroup_has_its_limits_in_every_tree() {
    for fixture in Fixture::all() {
        let limits = Limits {
            cpu_shares: Some(256),
            cpu_quota: Some(CpuQuota { quota: 20_000, period: 100_000 }),
            memory: Some(32 << 20),
            pids: Some(50),
            huge_pages: HugePages::Only(BTreeMap::new()),
        };
        let path = fixture.pod("/burstable");
        let missing = fixture.manager.ensure_pod(&path, &limits).await.unwrap();
        let files = match fixture.version {
            Version::V1 => vec![
                ("cpu", "cpu.shares", "256"),
                ("cpu", "cpu.cfs_quota_us", "20000"),
                ("cpu", "cpu.cfs_period_us", "100000"),
                ("memory", "memory.limit_in_bytes", "33554432"),
                ("pids", "pids.max", "50"),
            ],
            Version::V2 => vec![
                ("cpu", "cpu.weight", "10"),
                ("cpu", "cpu.max", "20000 100000"),
                ("memory", "memory.max", "33554432"),
                ("pids", "pids.max", "50"),
            ],
        };
        for (controller, file, value) in files {
            let expected = if missing.contains(controller) { None } else { Some(value) };
            assert_eq!(fixture.read(&path, controller, file).as_deref(), expected, "{file}");
        }
        if fixture.version == Version::V1 {
            let cpus = fixture.read(&path, "cpuset", "cpuset.cpus");
            assert!(cpus.is_none_or(|cpus| !cpus.is_empty()));
        }
    }
}

#[tokio::test]
async fn a_pods_cgroup_is_removed_with_what_still_runs_in_it() {
    for mut fixture in Fixture::all() {
        let path = fixture.pod("/besteffort");
        fixture.manager.ensure_pod(&path, &Limits::default()).await.unwrap();
        fixture.start_in(&path);
        let pods = fixture.manager.list_pods().unwrap();
        assert_eq!(pods, [PodCgroup { uid: UID.to_owned(), path: path.clone() }]);
        fixture.manager.destroy_pod(&path).await.unwrap();
        assert!(fixture.dirs(&path).iter().all(|dir| !dir.exists()));
        assert!(!fixture.children[0].wait().unwrap().success());
        assert!(fixture.manager.list_pods().unwrap().is_empty());
        fixture.manager.destroy_pod(&path).await.unwrap();
    }
}

#[tokio::test]
async fn a_container_that_nobody_knows_is_removed_from_its_pods_cgroup_and_no_other() {
    for mut fixture in Fixture::all() {
        let path = fixture.pod("/besteffort");
        fixture.manager.ensure_pod(&path, &Limits::default()).await.unwrap();
        let (lost, known) = ("0123456789abcdef".repeat(4), "fedcba9876543210".repeat(4));
        for name in [lost.as_str(), &format!("cri-containerd-{known}.scope"), "0123", "init"] {
            fixture.start_in_container(&path, name);
        }
        assert_eq!(fixture.manager.containers_of(&path).unwrap(), [lost.clone(), known.clone()].into());
        fixture.manager.destroy_container(&path, &lost).await.unwrap();
        assert!(!fixture.children[0].wait().unwrap().success());
        assert_eq!(fixture.manager.containers_of(&path).unwrap(), [known].into());
        for child in &mut fixture.children[1..] {
            assert!(child.try_wait().unwrap().is_none(), "the others run on");
        }
        fixture.manager.destroy_container(&path, &lost).await.unwrap();
        fixture.manager.destroy_pod(&path).await.unwrap();
    }
}

#[tokio::test]
async fn pods_of_every_class_are_listed_and_nothing_else() {
    for fixture in Fixture::all() {
        for path in ["/poda", "/burstable/podb", "/besteffort/podc"] {
            fixture.manager.ensure_pod(&format!("{}{path}", fixture.root), &Limits::default()).await.unwrap();
        }
        for dir in fixture.dirs(&fixture.root) {
            fs::create_dir(dir.join("pod")).unwrap();
            fs::create_dir(dir.join("other")).unwrap();
        }
        let uids: Vec<String> = fixture.manager.list_pods().unwrap().into_iter().map(|pod| pod.uid).collect();
        assert_eq!(uids, ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn what_is_not_a_pods_cgroup_below_the_root_is_refused() {
    let mount = tempfile::tempdir().unwrap();
    let manager = CgroupManager::new(Version::V2, Driver::Cgroupfs, mount.path(), "/kubepods").unwrap();
    for path in [
        "",
        "/",
        "/kubepods",
        "/kubepods/burstable",
        "/kubepods/other",
        "/kubepods/pod",
        "/poda",
        "kubepods/poda",
        "/kubepods/poda/container",
        "/kubepods/x/poda",
        "/kubepods/../poda",
        "/kubepods/burstable/../../poda",
        "/kubepods//poda",
    ] {
        assert!(matches!(manager.destroy_pod(path).await, Err(CgroupError::NotAPod { .. })), "{path}");
        assert!(
            matches!(manager.ensure_pod(path, &Limits::default()).await, Err(CgroupError::NotAPod { .. })),
            "{path}"
        );
    }
    for root in ["", "/", "kubepods", "/a/../b", "//a"] {
        let refused = CgroupManager::new(Version::V2, Driver::Cgroupfs, mount.path(), root);
        assert!(matches!(refused, Err(CgroupError::Root(_))), "{root}");
    }
}

#[tokio::test]
async fn a_control_file_that_refuses_is_named() {
    let fixture = Fixture::all().remove(0);
    if fixture.version != Version::V1 || fixture.read("/", "cpu", "cpu.shares").is_none() {
        return;
    }
    let limits = Limits { cpu_quota: Some(CpuQuota { quota: 1, period: 100_000 }), ..Limits::default() };
    let error = fixture.manager.ensure_pod(&fixture.pod(""), &limits).await.unwrap_err();
    match &error {
        CgroupError::Write { value, path, .. } => {
            assert_eq!((value.as_str(), path.file_name().unwrap()), ("1", "cpu.cfs_quota_us".as_ref()));
        }
        other => panic!("{other:?}"),
    }
    assert!(
        Path::new("/sys/fs/cgroup").join("cpu").exists() && error.to_string().contains("cpu.cfs_quota_us")
    );
}
