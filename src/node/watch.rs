//! The node as it is now, for whoever wants to know: made anew when `node.yaml`, the store's Node or the host changes.
//!
//! A shell: it reads, waits and publishes; the rules are [`effective`]'s. inotify only says when to look. What is looked at is always
//! the whole file, and a slow look happens without any hint.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};
use tokio_util::sync::CancellationToken;

use super::file::NodeFile;
use super::first_seen::first_seen;
use super::taint_times::TaintTimes;
use super::watched::directories;
use super::{HostFacts, Inputs, NodeFiles, NodeName, Pressure, ResourcePolicy, Runtime, effective};
use crate::clock::Clock;
use crate::manifest::Problem;

/// How long the file must have been quiet before it is read.
const SETTLE: Duration = Duration::from_millis(100);
/// How long a file that is never quiet is waited for.
const SETTLE_AT_MOST: Duration = Duration::from_secs(1);
/// How often the file is read without any hint.
const LOOK_ANYWAY: Duration = Duration::from_secs(5 * 60);

/// What doesn't change while the agent runs.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// The node's name.
    pub name: NodeName,
    /// Where the node is described.
    pub files: NodeFiles,
    /// Where it is kept when each NoExecute taint was first seen, below the state directory.
    pub taint_times: PathBuf,
    /// Where it is kept when the node was first seen, beside it.
    pub first_seen: PathBuf,
    /// Tells when that is.
    pub clock: Clock,
    /// How resources are divided.
    pub resources: ResourcePolicy,
}

/// What others find out and keep up to date.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The Node of this name in the store.
    pub store: watch::Receiver<Option<Arc<Node>>>,
    /// What the host is.
    pub facts: watch::Receiver<Arc<HostFacts>>,
    /// What is known of the container runtime.
    pub runtime: watch::Receiver<Runtime>,
    /// What the node is short of.
    pub pressure: watch::Receiver<Pressure>,
}

/// The node as it is now.
#[derive(Debug)]
pub struct Watched {
    /// The node; a new value when something about it has changed, and one for each change of the store's Node.
    pub node: watch::Receiver<Arc<Node>>,
    /// What is wrong with `node.yaml`; empty while all is well.
    pub problems: watch::Receiver<Vec<Problem>>,
    /// Ends after cancellation, or once all sources are gone.
    pub task: JoinHandle<()>,
}

/// Reads the file once, so that the first node is complete when this returns, and keeps it up to date in a task.
///
/// Must be called within a tokio runtime.
pub fn spawn(fixed: Fixed, sources: Sources, shutdown: CancellationToken) -> Watched {
    let Fixed { name, files, taint_times, first_seen: seen_file, clock, resources } = fixed;
    let NodeFiles { file: path, last_good } = files;
    let hint = Arc::new(Notify::new());
    // Watched before the first look, so that no change falls between the two.
    let mut hints = Hints::new(hint.clone());
    hints.follow(&path);
    let file = NodeFile::new(&path, last_good, name.clone());
    let times = TaintTimes::open(taint_times);
    let created = first_seen(&seen_file, name.as_str(), clock.wall_seconds());
    let mut maker = Maker { name, created, resources, file, times, clock, sources };
    let (problems, problems_receiver) = watch::channel(maker.file.reload());
    let (node, node_receiver) = watch::channel(Arc::new(maker.make()));
    let task = tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = run(&path, &mut maker, &mut hints, &hint, &node, &problems) => {}
        }
    });
    Watched { node: node_receiver, problems: problems_receiver, task }
}

async fn run(
    path: &Path,
    maker: &mut Maker,
    hints: &mut Hints,
    hint: &Notify,
    node: &watch::Sender<Arc<Node>>,
    problems: &watch::Sender<Vec<Problem>>,
) {
    let mut look_anyway = interval_at(Instant::now() + LOOK_ANYWAY, LOOK_ANYWAY);
    look_anyway.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (look, answer) = tokio::select! {
            () = hint.notified() => { settled(hint).await; (true, false) }
            _ = look_anyway.tick() => (true, false),
            // Whoever passes on a Node of the store waits for the answer, also if it comes out the same.
            () = changed(&mut maker.sources.store) => (false, true),
            () = changed(&mut maker.sources.facts) => (false, false),
            () = changed(&mut maker.sources.runtime) => (false, false),
            () = changed(&mut maker.sources.pressure) => (false, false),
        };
        if look {
            hints.follow(path);
            let found = maker.file.reload();
            problems.send_if_modified(|shown| {
                let differs = *shown != found;
                *shown = found;
                differs
            });
        }
        let made = maker.make();
        node.send_if_modified(|shown| {
            let differs = **shown != made;
            if differs {
                *shown = Arc::new(made);
            }
            differs || answer
        });
    }
}

/// Waits until hints have stopped coming, or have come for long enough.
async fn settled(hint: &Notify) {
    let deadline = Instant::now() + SETTLE_AT_MOST;
    while timeout_at(deadline.min(Instant::now() + SETTLE), hint.notified()).await.is_ok() {}
}

/// Waits for a new value; for ever where none can come any more.
async fn changed<T>(source: &mut watch::Receiver<T>) {
    if source.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Makes the node of all that is known.
struct Maker {
    name: NodeName,
    created: Timestamp,
    resources: ResourcePolicy,
    file: NodeFile,
    times: TaintTimes,
    clock: Clock,
    sources: Sources,
}

impl Maker {
    fn make(&mut self) -> Node {
        let Sources { store, facts, runtime, pressure } = &mut self.sources;
        let mut node = effective(Inputs {
            name: &self.name,
            file: self.file.node(),
            store: store.borrow_and_update().as_deref(),
            facts: &facts.borrow_and_update(),
            resources: &self.resources,
            runtime: &runtime.borrow_and_update(),
            pressure: &pressure.borrow_and_update(),
            created: self.created,
        });
        self.times.stamp(&mut node, self.clock.wall_seconds());
        node
    }
}

/// inotify on the directories along a path. Where it is not to be had, the slow look alone makes sure.
struct Hints {
    watcher: Option<notify::RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
}

impl Hints {
    fn new(hint: Arc<Notify>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error (a full queue, say) may hide a change, so it is a hint too. Our own reading isn't one.
            if event.map_or(true, |event| is_change(event.kind)) {
                hint.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "cannot watch node.yaml, looking at it every 5 minutes instead"))
            .ok();
        Self { watcher, directories: BTreeSet::new() }
    }

    /// Watches what lies along `path` now. A directory made anew under its old name needs a new watch, so all are.
    fn follow(&mut self, path: &Path) {
        const TRIES: usize = 4;
        let Some(watcher) = &mut self.watcher else { return };
        for directory in std::mem::take(&mut self.directories) {
            // Fails where the directory is gone, and its watch with it.
            let _ = watcher.unwatch(&directory);
        }
        // The path may change while its directories are being watched.
        for _ in 0..TRIES {
            let wanted = directories(path);
            for directory in wanted.difference(&self.directories) {
                if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                    tracing::warn!(%error, directory = %directory.display(), "cannot watch for changes of node.yaml");
                }
            }
            if wanted == self.directories {
                break;
            }
            self.directories = wanted;
        }
    }
}

const fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if !matches!(access, AccessKind::Close(AccessMode::Write)))
}

#[cfg(test)]
mod tests;
