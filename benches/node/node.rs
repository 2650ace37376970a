//! A node for one experiment: an agent as a process, a fake runtime in this one, and a folder of manifests between them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use daemonlet::cri::fake::{FakeOptions, FakeRuntime, RecordedCall};
use serde_json::Value;
use tempfile::TempDir;

use crate::subject::{Place, Subject};
use crate::{Result, manifest};

/// Longer than any kubelet takes for a full node.
const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct Node<'a> {
    pub(crate) runtime: FakeRuntime,
    subject: &'a Subject,
    process: Option<Child>,
    cgroup: String,
    dir: TempDir,
}

impl<'a> Node<'a> {
    /// A node with these manifests and no agent yet.
    pub(crate) fn new(subject: &'a Subject, pods: &[String]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("daemonlet-bench-").tempdir()?;
        // A log that is missing would be asked for again and again.
        let options = FakeOptions { log_files: true, ..FakeOptions::default() };
        let runtime = FakeRuntime::start_with(&options);
        runtime.preload(manifest::IMAGE);
        runtime.listen(&dir.path().join("cri.sock"))?;
        for folder in ["manifests", "node", "state", "pod-logs", "container-logs"] {
            fs::create_dir(dir.path().join(folder))?;
        }
        let name = dir.path().file_name().unwrap_or_default().to_string_lossy();
        let node = Self { runtime, subject, process: None, cgroup: format!("/{name}"), dir };
        for pod in pods {
            node.save(pod, Saved::Renamed)?;
        }
        Ok(node)
    }

    /// Starts the agent; says when.
    pub(crate) fn start(&mut self) -> Result<Instant> {
        let runtime = self.dir.path().join("cri.sock");
        let place = Place { dir: self.dir.path(), runtime: &runtime, cgroup: &self.cgroup };
        let log = File::options().create(true).append(true).open(self.dir.path().join("log"))?;
        let mut command: Command = self.subject.prepare(&place)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let at = Instant::now();
        self.process = Some(command.spawn()?);
        Ok(at)
    }

    /// Kills the agent at whatever it is doing.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.process.as_ref().map(Child::id).ok_or_else(|| "no agent runs".into())
    }

    /// Puts a usual pod's manifest into the store; says when it was there whole.
    pub(crate) fn save(&self, pod: &str, how: Saved) -> Result<Instant> {
        self.put(pod, &manifest::pod_spec(pod), how)
    }

    /// The same with a pod of this shape.
    pub(crate) fn put(&self, pod: &str, spec: &Value, how: Saved) -> Result<Instant> {
        let bytes = serde_json::to_vec(&self.subject.manifest(pod, spec))?;
        let path = self.dir.path().join("manifests").join(format!("{pod}.json"));
        match how {
            Saved::Renamed => {
                let temporary = self.dir.path().join("manifest.new");
                fs::write(&temporary, bytes)?;
                let at = Instant::now();
                fs::rename(temporary, path)?;
                Ok(at)
            }
            Saved::Closed => {
                let mut file = File::create(path)?;
                std::io::Write::write_all(&mut file, &bytes)?;
                let at = Instant::now();
                drop(file);
                Ok(at)
            }
        }
    }

    /// Waits until so many containers run.
    pub(crate) async fn running(&self, count: usize) -> Result<()> {
        let waited = self.runtime.wait_within(DEADLINE, |state| {
            state.containers.iter().filter(|container| container.is_running()).count() >= count
        });
        let waited = waited.await;
        waited
            .map_err(|_| format!("{count} containers do not run within {DEADLINE:?}:\n{}", self.log()).into())
    }

    /// Waits for a call; says when it came.
    pub(crate) async fn call(&self, what: &str, is_it: impl Fn(&RecordedCall) -> bool) -> Result<Instant> {
        let mut seen = 0;
        let mut at = None;
        let waited = self.runtime.wait_within(DEADLINE, |state| {
            let found = state.calls[seen..].iter().find(|call| is_it(call)).map(|call| call.at.into_std());
            seen = state.calls.len();
            at = at.or(found);
            at.is_some()
        });
        let waited = waited.await;
        match at {
            Some(at) if waited.is_ok() => Ok(at),
            _ => Err(format!("no {what} within {DEADLINE:?}:\n{}", self.log()).into()),
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// How a manifest gets into the store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Saved {
    /// Written elsewhere and renamed into place.
    Renamed,
    /// Written in place; whole once it is closed.
    Closed,
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        if let Err(problem) = self.kill() {
            eprintln!("the agent could not be ended: {problem}");
        }
        let root = Path::new("/sys/fs/cgroup");
        let trees = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        for tree in trees.chain([root.to_owned()]) {
            remove_cgroup(tree.join(self.cgroup.trim_start_matches('/')));
        }
        unmount_below(self.dir.path());
    }
}

fn remove_cgroup(path: PathBuf) {
    for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(entry.path());
        }
    }
    // What isn't there needs no removing.
    let _ = fs::remove_dir(path);
}

/// Volumes in memory and bound sub-paths are mounts.
fn unmount_below(dir: &Path) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let ours: Vec<&Path> = points.filter(|point| point.starts_with(dir)).collect();
    for point in ours.into_iter().rev() {
        if let Err(problem) = nix::mount::umount(point) {
            eprintln!("{} stays mounted: {problem}", point.display());
        }
    }
}

/// So many names of pods.
pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("pod-{number:03}")).collect()
}
