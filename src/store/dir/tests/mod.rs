//! A store on a real directory. Everything waits for a snapshot, up to a deadline.

mod changes;
mod content;
mod loss;
mod trust;

use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{DirSettings, DirStore, PollMode, StoreHandle};
use crate::manifest::{Kind, Object, Stored};
use crate::store::reading::{self, FileReading, Parse};
use crate::store::{Freshness, Snapshot};

/// Long enough for a machine that compiles beside us; nothing waits for it when all is well.
const DEADLINE: Duration = Duration::from_secs(20);

fn daemon_set(name: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: {name}, namespace: default}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n      - {{name: main, image: \"{image}\"}}\n"
    )
}

fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\ndata: {{key: \"{value}\"}}\n"
    )
}

/// A store's directory, a state directory and, while it lives, a store's task.
struct Bed {
    directory: TempDir,
    root: PathBuf,
    settings: DirSettings,
    handle: Option<StoreHandle>,
    running: Option<DropGuard>,
    parse: Parse,
}

impl Bed {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("manifests");
        fs::create_dir(&root).unwrap();
        let settings = DirSettings::new(&root, directory.path().join("state/last-good.json"));
        fs::create_dir(directory.path().join("state")).unwrap();
        Bed { directory, root, settings, handle: None, running: None, parse: reading::read }
    }

    fn start(&mut self) {
        let shutdown = CancellationToken::new();
        self.handle = Some(DirStore::spawn_with(self.settings.clone(), self.parse, shutdown.clone()));
        self.running = Some(shutdown.drop_guard());
    }

    fn stop(&mut self) {
        self.running = None;
        self.handle = None;
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.handle.as_ref().unwrap().snapshots.borrow())
    }

    /// Waits for a snapshot that is so, and fails with the last one if none comes.
    async fn until(&self, what: &str, is_so: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.handle.as_ref().unwrap().snapshots.clone();
        let found = tokio::time::timeout(DEADLINE, snapshots.wait_for(|snapshot| is_so(snapshot))).await;
        let Ok(found) = found else {
            panic!("waited in vain until {what}; the last snapshot is {:#?}", self.now());
        };
        Arc::clone(&found.unwrap())
    }

    async fn until_current(&self) -> Arc<Snapshot> {
        self.until("it is current", |snapshot| snapshot.freshness == Freshness::Current).await
    }

    /// A snapshot that was made after everything up to here; what has not settled may be missing.
    async fn seen(&self) -> Arc<Snapshot> {
        let before = self.now();
        let count = names(&before).iter().filter(|name| name.starts_with("zz-beacon")).count();
        let name = format!("zz-beacon-{count}");
        self.write(&format!("{name}.yaml"), &config_map(&name, "x"));
        self.until("the beacon is seen", |snapshot| has(snapshot, &name)).await
    }

    /// A snapshot that was made after everything up to here has settled.
    async fn settled(&self) -> Arc<Snapshot> {
        let path = self.write("zz-barrier.yaml", &config_map("zz-barrier", "x"));
        self.until("the barrier is seen", |snapshot| has(snapshot, "zz-barrier")).await;
        fs::remove_file(path).unwrap();
        self.until("the barrier is gone", |snapshot| !has(snapshot, "zz-barrier")).await
    }

    /// Waits until the last good content on disk has this text in it.
    async fn saved(&self, text: &str) {
        // No snapshot tells of it, and the file is replaced whole, so it may be read at any time.
        let found = async {
            while !fs::read_to_string(&self.settings.state_file).is_ok_and(|content| content.contains(text)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, found).await.expect("the last good content is saved");
    }

    /// Fails if any snapshot is not so until the work is done.
    async fn always<T>(&self, is_so: impl Fn(&Snapshot) -> bool, work: impl Future<Output = T>) -> T {
        let mut snapshots = self.handle.as_ref().unwrap().snapshots.clone();
        let watcher = async {
            loop {
                let snapshot = Arc::clone(&snapshots.borrow_and_update());
                assert!(is_so(&snapshot), "{snapshot:#?}");
                snapshots.changed().await.unwrap();
            }
        };
        tokio::select! {
            done = work => done,
            () = watcher => unreachable!(),
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.stop();
        // A thread of the store may still be writing there.
        for _ in 0..1000 {
            if fs::remove_dir_all(self.directory.path()).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.objects.0.keys().map(|key| key.name.as_str()).collect()
}

fn has(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.objects.0.keys().any(|key| key.name == name)
}

fn image(snapshot: &Snapshot, name: &str) -> Option<String> {
    match snapshot.objects.get(Kind::DaemonSet, "default", name)? {
        Object::DaemonSet(found) => found.spec.as_ref()?.template.spec.as_ref()?.containers[0].image.clone(),
        _ => None,
    }
}

fn stored<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Arc<Stored> {
    snapshot.objects.0.iter().find(|(key, _)| key.name == name).unwrap().1
}

fn says(snapshot: &Snapshot, text: &str) -> bool {
    snapshot.problems.iter().any(|problem| problem.to_string().contains(text))
}
