//! Finds and removes what pods have left that are on no record: after a crash, a reboot, a restored or repaired disk.
//!
//! Who is an orphan is decided in [`pod::orphans`](crate::pod::orphans). Looking and removing may meet a file system that hangs, so both are done
//! beside the agent's thread, one thing at a time and never two sweeps at once: one that hangs holds up the later ones and nothing else. A sweep
//! only begins with a complete listing of the runtime, and what it finds is judged by the pods that are known when it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::error_chain::error_chain;
use crate::pod::context::PodContext;
use crate::pod::identity::PodUid;
use crate::pod::logs;
use crate::pod::orphans::{Found, Orphan, decide};
use crate::pod::record::Condition;
use crate::volume;

/// Listings may come every few seconds; what was left behind has time.
const NOT_SOONER_THAN: Duration = Duration::from_secs(60);

/// The sweeps of one agent.
#[derive(Debug)]
pub(super) struct Orphans {
    context: Arc<PodContext>,
    state: State,
    due: Instant,
    /// What hindered the removal of which pod, so that it is told once.
    hindered: BTreeMap<PodUid, String>,
}

#[derive(Debug)]
enum State {
    Idle,
    Looking { task: JoinHandle<Result<Found, String>>, in_runtime: BTreeSet<PodUid> },
    Removing(JoinHandle<Outcomes>),
}

/// What has become of each orphan.
type Outcomes = Vec<(PodUid, Result<(), String>)>;

/// One part of a sweep is done.
#[derive(Debug)]
pub(super) enum Swept {
    /// This lies on the node; of these pods the runtime has something.
    Found(Result<Found, String>, BTreeSet<PodUid>),
    /// These were removed, or not.
    Removed(Outcomes),
}

impl Orphans {
    pub(super) fn new(context: Arc<PodContext>) -> Self {
        Self { context, state: State::Idle, due: Instant::now(), hindered: BTreeMap::new() }
    }

    /// Begins a sweep, unless one is under way or was a short time ago. `in_runtime` is everything of ours that the runtime has.
    pub(super) fn look(&mut self, known: impl Iterator<Item = PodUid>, in_runtime: BTreeSet<PodUid>) {
        if !matches!(self.state, State::Idle) || Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + NOT_SOONER_THAN;
        let context = Arc::clone(&self.context);
        let known: BTreeSet<PodUid> = known.chain(in_runtime.iter().cloned()).collect();
        let task = spawn_blocking(move || find(&context, &known));
        self.state = State::Looking { task, in_runtime };
    }

    /// Waits until a part of the sweep is done; for ever if none is under way. Safe to drop and await again.
    pub(super) async fn ended(&mut self) -> Swept {
        let swept = match &mut self.state {
            State::Idle => std::future::pending().await,
            State::Looking { task, in_runtime } => {
                let found = task.await.unwrap_or_else(|panic| Err(panic.to_string()));
                Swept::Found(found, std::mem::take(in_runtime))
            }
            State::Removing(task) => Swept::Removed(task.await.unwrap_or_default()),
        };
        self.state = State::Idle;
        swept
    }

    /// Goes on with the sweep, and says which pods are being removed from now on.
    pub(super) fn go_on(&mut self, swept: Swept, is_known: impl Fn(&PodUid) -> bool) -> BTreeSet<PodUid> {
        match swept {
            Swept::Found(Ok(found), in_runtime) => {
                let orphans = decide(&found, |uid| is_known(uid) || in_runtime.contains(uid));
                self.hindered.retain(|uid, _| orphans.iter().any(|orphan| orphan.uid == *uid));
                let leaving = orphans.iter().map(|orphan| orphan.uid.clone()).collect();
                if !orphans.is_empty() {
                    let context = Arc::clone(&self.context);
                    self.state = State::Removing(tokio::spawn(remove_all(context, orphans)));
                }
                leaving
            }
            Swept::Found(Err(problem), _) => {
                warn!(problem, "cannot look for what pods have left");
                BTreeSet::new()
            }
            Swept::Removed(outcomes) => {
                for (uid, outcome) in outcomes {
                    self.tell(uid, outcome);
                }
                BTreeSet::new()
            }
        }
    }

    fn tell(&mut self, uid: PodUid, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.hindered.remove(&uid);
                info!(%uid, "removed what a pod had left that is on no record");
            }
            Err(problem) => {
                if self.hindered.get(&uid) != Some(&problem) {
                    warn!(%uid, problem, "cannot remove what a pod has left that is on no record; it is tried again");
                }
                self.hindered.insert(uid, problem);
            }
        }
    }
}

/// Lists what lies on the node, but nothing more than pods' directories and records if they are all known. Blocks.
fn find(context: &PodContext, known: &BTreeSet<PodUid>) -> Result<Found, String> {
    let mut found = Found {
        pod_dirs: volume::pod_dirs(&context.volumes).map_err(|error| error_chain(&error))?,
        records: context.records.names().map_err(|error| error_chain(&error))?,
        ..Found::default()
    };
    if !decide(&found, |uid| known.contains(uid)).is_empty() {
        let pod_logs = &context.host().pod_logs_dir;
        found.cgroups = context.cgroups.list_pods().map_err(|error| error_chain(&error))?;
        found.log_dirs = logs::directories(pod_logs).map_err(|error| error_chain(&error))?;
        found.links =
            logs::links(&context.container_logs_dir, pod_logs).map_err(|error| error_chain(&error))?;
    }
    Ok(found)
}

async fn remove_all(context: Arc<PodContext>, orphans: Vec<Orphan>) -> Outcomes {
    let mut outcomes = Vec::new();
    for orphan in orphans {
        let uid = orphan.uid.clone();
        outcomes.push((uid, remove(&context, orphan).await));
    }
    outcomes
}

/// Removes everything of an orphan; what proves that it was ours last.
async fn remove(context: &Arc<PodContext>, orphan: Orphan) -> Result<(), String> {
    let uid = orphan.uid.clone();
    let record = aside(context, move |context| Ok(context.records.condition(&uid))).await?;
    match record {
        Condition::Absent | Condition::Broken(_) | Condition::Unknown(_) => {}
        Condition::Usable => {
            return Err("its record has come back: restart the agent to take it up".to_owned());
        }
        Condition::Unreadable(problem) => return Err(format!("read its record: {problem}")),
    }
    // First of all whatever may still run: nothing else goes while something uses it.
    for cgroup in &orphan.cgroups {
        context.cgroups.destroy_pod(cgroup).await.map_err(|error| error_chain(&error))?;
    }
    aside(context, move |context| remove_files(context, &orphan)).await
}

fn remove_files(context: &PodContext, orphan: &Orphan) -> Result<(), String> {
    for link in &orphan.links {
        logs::remove_link(&context.container_logs_dir, link).map_err(|error| error_chain(&error))?;
    }
    for directory in &orphan.log_dirs {
        let pod_logs = &context.host().pod_logs_dir;
        logs::remove_directory(pod_logs, directory).map_err(|error| error_chain(&error))?;
    }
    volume::tear_down(&context.volumes, orphan.uid.as_str()).map_err(|error| error_chain(&error))?;
    context.records.remove(&orphan.uid).map_err(|error| error_chain(&error))
}

/// Does what may hang on a thread of its own.
async fn aside<T: Send + 'static>(
    context: &Arc<PodContext>,
    work: impl FnOnce(&PodContext) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let context = Arc::clone(context);
    let done = spawn_blocking(move || work(&context)).await;
    done.unwrap_or_else(|panic| Err(panic.to_string()))
}
