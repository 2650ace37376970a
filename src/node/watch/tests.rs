use std::fs;
use std::os::unix::fs::symlink;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::node::{EvictionThresholds, Readiness, Reserved};

const DEADLINE: Duration = Duration::from_secs(20);

struct Bench {
    folder: tempfile::TempDir,
    store: watch::Sender<Option<Arc<Node>>>,
    facts: watch::Sender<Arc<HostFacts>>,
    runtime: watch::Sender<Runtime>,
    pressure: watch::Sender<Pressure>,
    shutdown: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        let runtime = Runtime {
            version: String::new(),
            readiness: Readiness::Ready,
            going_down: false,
            since: Timestamp::UNIX_EPOCH,
            started: Timestamp::UNIX_EPOCH,
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            store: watch::Sender::new(None),
            facts: watch::Sender::new(Arc::default()),
            runtime: watch::Sender::new(runtime),
            pressure: watch::Sender::new(Pressure::none(Timestamp::UNIX_EPOCH)),
            shutdown: CancellationToken::new(),
        }
    }

    fn spawn(&self) -> Watched {
        let resources = ResourcePolicy {
            max_pods: 110,
            system_reserved: Reserved::default(),
            kube_reserved: Reserved::default(),
            eviction_hard: EvictionThresholds::default(),
        };
        let fixed = Fixed {
            name: "edge-1".parse().unwrap(),
            files: NodeFiles { file: self.at("etc/node.yaml"), last_good: self.at("state/last-good.yaml") },
            taint_times: self.at("state/taints.json"),
            first_seen: self.at("state/first-seen.json"),
            clock: Clock::start(),
            resources,
        };
        let sources = Sources {
            store: self.store.subscribe(),
            facts: self.facts.subscribe(),
            runtime: self.runtime.subscribe(),
            pressure: self.pressure.subscribe(),
        };
        spawn(fixed, sources, self.shutdown.clone())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes a Node with the label `disk` in the way editors do.
    fn save(&self, path: &str, disk: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = path.with_extension("swp");
        fs::write(&new, described(disk)).unwrap();
        fs::rename(new, path).unwrap();
    }
}

fn described(disk: &str) -> String {
    format!("apiVersion: v1\nkind: Node\nmetadata:\n  name: edge-1\n  labels:\n    disk: {disk}\n")
}

fn disk(node: &Node) -> Option<&str> {
    node.metadata.labels.as_ref()?.get("disk").map(String::as_str)
}

async fn until_disk(watched: &mut Watched, wanted: Option<&str>) {
    let found = tokio::time::timeout(DEADLINE, watched.node.wait_for(|node| disk(node) == wanted)).await;
    assert!(found.is_ok(), "the label disk never became {wanted:?}");
}

async fn until_problem(watched: &mut Watched, wanted: impl Fn(&[Problem]) -> bool) {
    let found = tokio::time::timeout(DEADLINE, watched.problems.wait_for(|problems| wanted(problems))).await;
    assert!(found.is_ok(), "the problems never became what was expected");
}

#[tokio::test]
async fn the_first_node_has_all_that_is_known_at_once() {
    let bench = Bench::new();
    bench.save("etc/node.yaml", "ssd");
    let watched = bench.spawn();
    assert_eq!(disk(&watched.node.borrow()), Some("ssd"));
    assert!(watched.problems.borrow().is_empty());
}

#[tokio::test]
async fn a_node_is_no_younger_for_another_agent() {
    let bench = Bench::new();
    fs::create_dir(bench.at("state")).unwrap();
    let note = json!({"node": "edge-1", "firstSeen": "2001-02-03T04:05:06Z"});
    fs::write(bench.at("state/first-seen.json"), note.to_string()).unwrap();
    let watched = bench.spawn();
    let created = watched.node.borrow().metadata.creation_timestamp.clone().unwrap();
    assert_eq!(created.0.to_string(), "2001-02-03T04:05:06Z");
}

#[tokio::test]
async fn a_saved_a_broken_and_a_removed_file_are_each_seen() {
    let bench = Bench::new();
    bench.save("etc/node.yaml", "hdd");
    let mut watched = bench.spawn();
    bench.save("etc/node.yaml", "ssd");
    until_disk(&mut watched, Some("ssd")).await;

    fs::write(bench.at("etc/node.yaml"), "kind: [").unwrap();
    until_problem(&mut watched, |problems| !problems.is_empty()).await;
    assert_eq!(disk(&watched.node.borrow()), Some("ssd"), "a bad file changes nothing");

    bench.save("etc/node.yaml", "nvme");
    until_disk(&mut watched, Some("nvme")).await;
    until_problem(&mut watched, <[Problem]>::is_empty).await;

    fs::remove_file(bench.at("etc/node.yaml")).unwrap();
    until_problem(&mut watched, |problems| !problems.is_empty()).await;
    assert_eq!(disk(&watched.node.borrow()), Some("nvme"), "absence is never a delete");
}

#[tokio::test]
async fn a_file_in_directories_that_are_yet_to_be_made_is_seen() {
    let bench = Bench::new();
    let mut watched = bench.spawn();
    bench.save("etc/node.yaml", "ssd");
    until_disk(&mut watched, Some("ssd")).await;
}

#[tokio::test]
async fn a_swapped_link_anywhere_along_the_path_is_seen() {
    let bench = Bench::new();
    for (version, text) in [("..v1", "hdd"), ("..v2", "ssd")] {
        fs::create_dir_all(bench.at("mount").join(version)).unwrap();
        fs::write(bench.at("mount").join(version).join("node.yaml"), described(text)).unwrap();
    }
    symlink("..v1", bench.at("mount/..data")).unwrap();
    symlink("..data/node.yaml", bench.at("mount/node.yaml")).unwrap();
    fs::create_dir(bench.at("etc")).unwrap();
    symlink("../mount/node.yaml", bench.at("etc/node.yaml")).unwrap();
    let mut watched = bench.spawn();
    assert_eq!(disk(&watched.node.borrow()), Some("hdd"));

    symlink("..v2", bench.at("mount/..data_tmp")).unwrap();
    fs::rename(bench.at("mount/..data_tmp"), bench.at("mount/..data")).unwrap();
    until_disk(&mut watched, Some("ssd")).await;
}

#[tokio::test]
async fn a_directory_made_anew_is_watched_anew() {
    let bench = Bench::new();
    bench.save("etc/node.yaml", "hdd");
    let mut watched = bench.spawn();
    fs::remove_dir_all(bench.at("etc")).unwrap();
    until_problem(&mut watched, |problems| !problems.is_empty()).await;
    assert_eq!(disk(&watched.node.borrow()), Some("hdd"), "a directory that is gone says nothing");
    bench.save("etc/node.yaml", "ssd");
    until_disk(&mut watched, Some("ssd")).await;
}

#[tokio::test]
async fn the_store_the_host_and_the_runtime_count_too() {
    let bench = Bench::new();
    bench.save("etc/node.yaml", "hdd");
    let mut watched = bench.spawn();
    let node = json!({"metadata": {"name": "edge-1", "labels": {"disk": "ssd"}}});
    bench.store.send_replace(Some(Arc::new(serde_json::from_value(node).unwrap())));
    until_disk(&mut watched, Some("ssd")).await;
    bench.store.send_replace(None);
    until_disk(&mut watched, Some("hdd")).await;

    bench
        .facts
        .send_replace(Arc::new(HostFacts { kernel_release: "6.1".to_owned(), ..HostFacts::default() }));
    let kernel =
        |node: &Node| node.status.as_ref()?.node_info.as_ref().map(|info| info.kernel_version.clone());
    let seen = watched.node.wait_for(|node| kernel(node).as_deref() == Some("6.1"));
    assert!(tokio::time::timeout(DEADLINE, seen).await.is_ok());
}

#[tokio::test]
async fn what_changes_nothing_is_not_published() {
    let bench = Bench::new();
    bench.save("etc/node.yaml", "ssd");
    let mut watched = bench.spawn();
    watched.node.borrow_and_update();
    bench.facts.send_modify(|_| {});
    bench.runtime.send_modify(|runtime| runtime.version = "containerd://2.0.0".to_owned());
    let version = |node: &Node| {
        node.status.as_ref()?.node_info.as_ref().map(|info| info.container_runtime_version.clone())
    };
    let mut publications = 0;
    loop {
        let changed = tokio::time::timeout(DEADLINE, watched.node.changed()).await;
        assert!(changed.is_ok(), "the runtime's version was never seen");
        publications += 1;
        if version(&watched.node.borrow_and_update()).as_deref() == Some("containerd://2.0.0") {
            break;
        }
    }
    assert_eq!(publications, 1);
}

#[tokio::test]
async fn shutdown_ends_the_task() {
    let bench = Bench::new();
    let watched = bench.spawn();
    bench.shutdown.cancel();
    assert!(tokio::time::timeout(DEADLINE, watched.task).await.is_ok());
}
