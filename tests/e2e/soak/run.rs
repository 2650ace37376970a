//! Makes a scenario happen on a real node, and judges the node by its API, its runtime and its kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;
use std::thread::sleep;
use std::time::{Duration, Instant};

use daemonlet::cri::{ContainerId, SandboxId};
use k8s_openapi::api::core::v1::Pod;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::pods::manifest;
use super::scenario::{self, Operation};
use crate::kit::{DEADLINE, Node, container_ids, is_ready, pod_of};

/// Quick to try again, so that a minute sees many faults.
const CONFIG: &str = "crashLoopBackOff:\n  maxContainerRestartPeriod: 1s\nstore:\n  emptyHold: 1s\nruntimeRequestTimeout: 10s\n";

/// What has been done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    seeds: u64,
    operations: u64,
    kills: u64,
    convergences: u64,
    slowest: Duration,
    forgotten_shims: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.operations += other.operations;
        self.kills += other.kills;
        self.convergences += other.convergences;
        self.slowest = self.slowest.max(other.slowest);
        self.forgotten_shims += other.forgotten_shims;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, operations, kills, convergences, slowest, forgotten_shims } = self;
        write!(
            f,
            "{seeds} seeds, {operations} operations, {kills} kills of the agent, {convergences} convergences, the slowest in {slowest:.1?}; containerd has forgotten {forgotten_shims} shims"
        )
    }
}

/// A pod as it must stay unless something happens to it: its UID and its containers.
type Identity = (Option<String>, BTreeMap<String, String>);

struct Run {
    node: Node,
    revisions: u64,
    /// The DaemonSets that there are, with their revisions.
    wanted: BTreeMap<&'static str, u64>,
    /// What they were when the node was last as it should be.
    settled: BTreeMap<&'static str, Identity>,
    touched: BTreeSet<&'static str>,
    counts: Counts,
}

/// Plays a seed; nothing where this machine can't. What was done is printed when it fails.
pub(super) fn play(seed: u64, length: usize) -> Option<Counts> {
    let node = Node::configured(CONFIG)?;
    let mut run = Run {
        node,
        revisions: 0,
        wanted: BTreeMap::new(),
        settled: BTreeMap::new(),
        touched: BTreeSet::new(),
        counts: Counts { seeds: 1, ..Counts::default() },
    };
    for (number, step) in scenario::of_seed(seed, length).iter().enumerate() {
        println!("{number}: {:?}, {} ms", step.operation, step.milliseconds);
        run.touched.extend(step.operation.target());
        run.operate(&step.operation);
        run.counts.operations += 1;
        sleep(Duration::from_millis(step.milliseconds));
        if step.converge {
            run.converge(seed);
        }
    }
    let names: Vec<&'static str> = run.wanted.keys().copied().collect();
    for name in names {
        run.touched.insert(name);
        run.operate(&Operation::Delete(name));
    }
    run.converge(seed);
    run.node.wait_empty();
    run.counts.forgotten_shims = run.node.forgotten_shims();
    Some(run.counts)
}

impl Run {
    fn operate(&mut self, operation: &Operation) {
        match operation {
            Operation::Apply(name) => {
                self.revisions += 1;
                self.node.apply(&format!("{name}.yaml"), manifest(name, self.revisions));
                self.wanted.insert(name, self.revisions);
            }
            Operation::Delete(name) => {
                self.node.delete(&format!("{name}.yaml"));
                self.wanted.remove(name);
            }
            Operation::KillAgent(times) => {
                for milliseconds in times {
                    self.node.agent.kill9();
                    self.node.agent.launch();
                    self.counts.kills += 1;
                    sleep(Duration::from_millis(*milliseconds));
                }
            }
            Operation::RestartAgent => {
                let status = self.node.agent.stop();
                assert_eq!(status.code(), Some(0), "the agent's end: {status}");
                self.node.agent.launch();
            }
            Operation::KillContainerd => self.node.containerd.restart(),
            Operation::HangContainerd(milliseconds, other) => {
                self.node.containerd.pause();
                self.operate(other);
                sleep(Duration::from_millis(*milliseconds));
                self.node.containerd.resume();
            }
            Operation::KillShim(name) => {
                let sandboxes = self.sandboxes(name);
                let shims = self.node.shims().into_iter().filter(|(id, _)| sandboxes.contains(id));
                for (_, pid) in shims {
                    // It may be gone already.
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
            Operation::KillContainer(name) => {
                for id in self.containers(name) {
                    self.node.containerd.try_ctr(&["tasks", "kill", "--signal", "SIGKILL", &id]);
                }
            }
            Operation::RemoveContainer(name) => {
                for id in self.containers(name).iter().map(|id| ContainerId::from(id.as_str())) {
                    // Whatever it answers: the agent may be at it as well.
                    self.node.containerd.ask(async |cri| {
                        let _ = cri.stop_container(&id, Duration::ZERO).await;
                        let _ = cri.remove_container(&id).await;
                    });
                }
            }
            Operation::RemoveSandbox(name) => {
                for id in self.sandboxes(name).iter().map(|id| SandboxId::from(id.as_str())) {
                    self.node.containerd.ask(async |cri| {
                        let _ = cri.stop_pod_sandbox(&id).await;
                        let _ = cri.remove_pod_sandbox(&id).await;
                    });
                }
            }
        }
    }

    fn sandboxes(&self, daemon_set: &str) -> Vec<String> {
        let prefix = format!("{daemon_set}-");
        let sandboxes = self.node.sandboxes().into_iter();
        let of_it =
            sandboxes.filter(|it| it.metadata.as_ref().is_some_and(|it| it.name.starts_with(&prefix)));
        of_it.map(|sandbox| sandbox.id).collect()
    }

    /// The main containers of its pods, dead ones included.
    fn containers(&self, daemon_set: &str) -> Vec<String> {
        let sandboxes = self.sandboxes(daemon_set);
        let containers = self.node.containers().into_iter();
        let of_it = containers.filter(|it| sandboxes.contains(&it.pod_sandbox_id));
        of_it.filter(|it| it.metadata.as_ref().is_some_and(|it| it.name == "main")).map(|it| it.id).collect()
    }

    /// Waits until the node is as its store says, in all that can be seen of it.
    fn converge(&mut self, seed: u64) {
        let begun = Instant::now();
        let mut wrong = self.wrong();
        while !wrong.is_empty() {
            assert!(
                begun.elapsed() < DEADLINE,
                "SOAK_SEED={seed}: after {} the node is not as it should be, though it had {DEADLINE:?}: {wrong:#?}",
                self.counts
            );
            sleep(Duration::from_millis(50));
            wrong = self.wrong();
        }
        self.counts.convergences += 1;
        self.counts.slowest = self.counts.slowest.max(begun.elapsed());
        let pods = self.node.pods().unwrap();
        let now: BTreeMap<&'static str, Identity> =
            self.wanted.keys().map(|name| (*name, identity(&pods, name))).collect();
        for (name, before) in &self.settled {
            if !self.touched.contains(name) {
                assert_eq!(
                    now.get(name),
                    Some(before),
                    "SOAK_SEED={seed}: {name} was changed, and nothing happened to it"
                );
            }
        }
        self.settled = now;
        self.touched.clear();
    }

    /// How the node differs from what its store says.
    fn wrong(&self) -> Vec<String> {
        let pods = match self.node.pods() {
            Ok(pods) => pods,
            Err(error) => return vec![error],
        };
        let mut wrong = Vec::new();
        for (name, revision) in &self.wanted {
            let of_it: Vec<&Pod> = pods.iter().filter(|pod| pod_of(pod, name)).collect();
            let is_right =
                of_it.len() == 1 && is_ready(of_it[0]) && self::revision(of_it[0]) == Some(*revision);
            if !is_right {
                let found: Vec<_> = of_it
                    .iter()
                    .map(|pod| (&pod.metadata.name, self::revision(pod), is_ready(pod)))
                    .collect();
                wrong.push(format!("{name} in revision {revision}: {found:?}"));
            }
        }
        let strangers = pods.iter().filter(|pod| !self.wanted.keys().any(|name| pod_of(pod, name)));
        wrong.extend(strangers.map(|pod| format!("a pod of no DaemonSet: {:?}", pod.metadata.name)));
        if wrong.is_empty() { self.node.amiss() } else { wrong }
    }
}

fn revision(pod: &Pod) -> Option<u64> {
    let main = pod.spec.as_ref()?.containers.iter().find(|container| container.name == "main")?;
    main.env.as_ref()?.iter().find(|variable| variable.name == "REVISION")?.value.as_ref()?.parse().ok()
}

fn identity(pods: &[Pod], name: &str) -> Identity {
    let pod = pods.iter().find(|pod| pod_of(pod, name)).unwrap();
    (pod.metadata.uid.clone(), container_ids(pod))
}
