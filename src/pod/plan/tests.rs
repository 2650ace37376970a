use serde_json::{Value, json};

use super::*;
use crate::pod::observed::{self, ContainerState, Exit, Network, Sandbox, SandboxState};

/// A pod and a runtime in memory, on which plans are carried out.
struct World {
    pod: Pod,
    observed: Observed,
    hashes: BTreeMap<String, String>,
    startup: BTreeMap<String, ProbeVerdict>,
    liveness: BTreeMap<String, ProbeVerdict>,
    restart_delay: BTreeMap<String, Duration>,
    sandbox_delay: Duration,
    spare: Spare,
    clock: i64,
    /// What was started, in order.
    started: Vec<String>,
}

impl ProbeVerdicts for World {
    fn startup(&self, name: &str, _: &ContainerId) -> Option<ProbeVerdict> {
        self.startup.get(name).copied()
    }
    fn liveness(&self, name: &str, _: &ContainerId) -> Option<ProbeVerdict> {
        self.liveness.get(name).copied()
    }
}

impl Memory for World {
    fn restart_delay(&self, name: &str) -> Duration {
        self.restart_delay.get(name).copied().unwrap_or_default()
    }
    fn retry_delay(&self, _: &str) -> Duration {
        Duration::ZERO
    }
    fn sandbox_delay(&self) -> Duration {
        self.sandbox_delay
    }
}

impl World {
    fn new(spec: Value) -> Self {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": spec})).expect("a pod");
        let spec = pod.spec.as_ref().expect("a spec");
        let names = spec.init_containers.iter().flatten().chain(&spec.containers).map(|c| c.name.clone());
        let hashes = names.map(|name| (name, "h".to_owned())).collect();
        Self {
            pod,
            observed: Observed::default(),
            hashes,
            startup: BTreeMap::new(),
            liveness: BTreeMap::new(),
            restart_delay: BTreeMap::new(),
            sandbox_delay: Duration::ZERO,
            spare: Spare::Kept,
            clock: 0,
            started: Vec::new(),
        }
    }

    fn plan(&self) -> Plan {
        plan(Inputs {
            pod: &self.pod,
            hashes: &self.hashes,
            observed: &self.observed,
            probes: self,
            memory: self,
            spare: self.spare,
        })
    }

    /// Carries out plans until there is nothing left to do, and says what was done.
    fn settle(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        for _ in 0..50 {
            let actions = self.plan().actions;
            if actions.is_empty() {
                return done;
            }
            for action in actions {
                done.push(brief(&action));
                self.carry_out(action);
            }
        }
        panic!("never settles: {done:?}");
    }

    fn carry_out(&mut self, action: Action) {
        self.clock += 1;
        match action {
            Action::KillPod => {
                self.kill_sandbox();
            }
            Action::RemoveInitRecords(ids) => {
                self.observed.containers.retain(|record| !ids.contains(&record.id));
            }
            Action::CreateSandbox { attempt } => self.observed.sandboxes.push(Sandbox {
                id: format!("sandbox-{attempt}").into(),
                attempt,
                state: SandboxState::Ready,
                network: Network::Pod,
                ips: vec![[10, 0, 0, 1].into()],
                created_at: self.clock,
            }),
            Action::KillContainer { id, .. } => {
                let exit = self.exit_state(137);
                let record =
                    self.observed.containers.iter_mut().find(|record| record.id == id).expect("a record");
                record.state = exit;
            }
            Action::StartContainer { name, .. } => {
                let attempt = self.observed.newest(&name).map_or(0, |record| record.attempt + 1);
                let sandbox = self.observed.sandbox().expect("a sandbox");
                assert_eq!(sandbox.state, SandboxState::Ready, "{name} starts in a dead sandbox");
                self.observed.containers.push(observed::Container {
                    id: format!("{name}-{attempt}-{}", self.clock).into(),
                    sandbox: sandbox.id.clone(),
                    hash: self.hashes.get(&name).cloned(),
                    state: ContainerState::Running { started_at: time(self.clock) },
                    restart_delay: Duration::ZERO,
                    image: String::new(),
                    image_ref: String::new(),
                    created_at: self.clock,
                    attempt,
                    name: name.clone(),
                });
                self.started.push(name);
            }
            Action::RemoveContainer(id) => self.observed.containers.retain(|record| record.id != id),
            Action::RemoveSandbox(id) => self.observed.sandboxes.retain(|sandbox| sandbox.id != id),
        }
        self.observed.sort();
    }

    fn exit_state(&self, code: i32) -> ContainerState {
        ContainerState::Exited(Exit {
            code,
            reason: String::new(),
            message: String::new(),
            started_at: None,
            finished_at: time(self.clock),
        })
    }

    /// Ends the newest instance of a container.
    fn exit(&mut self, name: &str, code: i32) {
        let state = self.exit_state(code);
        if let Some(record) = self.observed.containers.iter_mut().find(|record| record.name == name) {
            record.state = state;
        }
    }

    fn set_state(&mut self, name: &str, state: ContainerState) {
        let record =
            self.observed.containers.iter_mut().find(|record| record.name == name).expect("a record");
        record.state = state;
    }

    fn kill_sandbox(&mut self) {
        let state = self.exit_state(137);
        let running = self.observed.containers.iter_mut().filter(|record| record.is_running());
        running.for_each(|record| record.state = state.clone());
        self.observed.sandboxes.iter_mut().for_each(|sandbox| sandbox.state = SandboxState::NotReady);
    }
}

fn time(second: i64) -> k8s_openapi::jiff::Timestamp {
    k8s_openapi::jiff::Timestamp::from_second(second).expect("a time")
}

fn brief(action: &Action) -> String {
    match action {
        Action::KillPod => "kill pod".into(),
        Action::RemoveInitRecords(ids) => format!("forget {}", ids.len()),
        Action::CreateSandbox { attempt } => format!("sandbox {attempt}"),
        Action::KillContainer { name, why, .. } => format!("kill {name} {why:?}"),
        Action::StartContainer { name, .. } => format!("start {name}"),
        Action::RemoveContainer(id) => format!("remove {id}"),
        Action::RemoveSandbox(id) => format!("remove {id}"),
    }
}

fn two() -> World {
    World::new(json!({"containers": [{"name": "a"}, {"name": "b"}]}))
}

fn with_init() -> World {
    World::new(json!({"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]}))
}

fn with_sidecar() -> World {
    World::new(
        json!({"initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}, {"name": "j"}],
        "containers": [{"name": "a"}]}),
    )
}

fn with_a_sidecar_that_starts_up() -> World {
    let mut world = with_sidecar();
    world.startup.insert("s".into(), ProbeVerdict::Unknown);
    world.settle();
    world.exit("i", 0);
    assert_eq!(world.settle(), ["start s"]);
    world
}

#[test]
fn a_new_pod_gets_a_sandbox_and_then_every_container_in_order() {
    assert_eq!(two().settle(), ["sandbox 0", "start a", "start b"]);
}

#[test]
fn a_pod_at_rest_is_left_alone() {
    let mut world = two();
    world.settle();
    assert_eq!(world.plan(), Plan::default());
}

#[test]
fn a_container_that_ended_is_started_again_whatever_its_code() {
    for code in [0, 1] {
        let mut world = two();
        world.settle();
        world.exit("b", code);
        assert_eq!(world.settle(), ["start b"]);
    }
}

#[test]
fn one_back_off_does_not_hold_up_the_others() {
    let mut world = two();
    world.settle();
    world.exit("a", 1);
    world.exit("b", 1);
    world.restart_delay.insert("a".into(), Duration::from_secs(10));
    let plan = world.plan();
    assert_eq!(plan.actions.iter().map(brief).collect::<Vec<_>>(), ["start b"]);
    assert_eq!(plan.wake_after, Some(Duration::from_secs(10)));
    assert_eq!(plan.backing_off, ["a"]);
}

#[test]
fn init_containers_run_one_by_one_before_the_others() {
    let mut world = with_init();
    assert_eq!(world.settle(), ["sandbox 0", "start i"]);
    world.exit("i", 1);
    assert_eq!(world.settle(), ["start i"]);
    world.exit("i", 0);
    // The first, failed run of `i` is not needed any more; its successor has ended too and tells all.
    let done = world.settle();
    assert_eq!(done[0], "start j");
    world.exit("j", 0);
    assert_eq!(world.settle(), ["start a"]);
}

#[test]
fn an_out_of_memory_kill_fails_an_init_container_even_with_code_zero() {
    let mut world = with_init();
    world.settle();
    let ContainerState::Exited(exit) = world.exit_state(0) else { panic!("not an exit") };
    world.set_state("i", ContainerState::Exited(Exit { reason: "OOMKilled".into(), ..exit }));
    assert_eq!(world.settle()[0], "start i");
}

#[test]
fn a_new_sandbox_runs_the_init_containers_again() {
    let mut world = with_init();
    world.settle();
    world.exit("i", 0);
    world.settle();
    world.exit("j", 0);
    world.settle();
    world.kill_sandbox();
    let done = world.settle();
    assert_eq!(done, ["kill pod", "forget 2", "sandbox 1", "start i"]);
}

#[test]
fn a_sandbox_that_keeps_failing_is_waited_for() {
    let mut world = two();
    world.sandbox_delay = Duration::from_secs(3);
    assert_eq!(world.plan(), Plan { wake_after: Some(Duration::from_secs(3)), ..Plan::default() });
}

#[test]
fn a_sandbox_without_an_address_or_on_the_wrong_network_is_replaced() {
    let mut world = two();
    world.settle();
    world.observed.sandboxes[0].ips.clear();
    assert_eq!(world.settle()[..2], ["kill pod", "sandbox 1"]);
    world.observed.sandboxes[0].network = Network::Host;
    assert_eq!(world.settle()[..2], ["kill pod", "sandbox 2"]);
}

#[test]
fn a_sidecar_gates_what_follows_until_it_has_started_up() {
    let mut world = with_a_sidecar_that_starts_up();
    world.startup.insert("s".into(), ProbeVerdict::Success);
    assert_eq!(world.settle(), ["start j"]);
    world.exit("j", 0);
    assert_eq!(world.settle(), ["start a"]);
}

#[test]
fn what_follows_a_sidecar_does_not_wait_for_its_being_followed_by_another() {
    let mut world = with_a_sidecar_that_starts_up();
    world.startup.insert("s".into(), ProbeVerdict::Success);
    world.liveness.insert("s".into(), ProbeVerdict::Failure);
    let actions: Vec<String> = world.plan().actions.iter().map(brief).collect();
    assert_eq!(actions, ["kill s Liveness", "start s", "start j"]);
}

#[test]
fn a_sidecar_is_restarted_while_the_pod_runs_and_plain_init_containers_are_not() {
    let mut world = with_sidecar();
    world.settle();
    for name in ["i", "j"] {
        world.settle();
        world.exit(name, 0);
    }
    world.settle();
    world.exit("s", 0);
    assert_eq!(world.settle(), ["start s"]);
    world.observed.containers.retain(|record| record.name != "s");
    assert_eq!(world.settle(), ["start s"]);
}

#[test]
fn a_container_is_killed_for_a_reason_and_started_in_the_same_round() {
    for (why, expected) in
        [("changed", "DefinitionChanged"), ("liveness", "Liveness"), ("startup", "Startup")]
    {
        let mut world = two();
        world.settle();
        match why {
            "changed" => drop(world.hashes.insert("a".into(), "other".into())),
            "liveness" => drop(world.liveness.insert("a".into(), ProbeVerdict::Failure)),
            _ => drop(world.startup.insert("a".into(), ProbeVerdict::Failure)),
        }
        let done: Vec<String> = world.plan().actions.iter().map(brief).collect();
        assert_eq!(done, [format!("kill a {expected}"), "start a".to_owned()]);
    }
}

#[test]
fn every_kill_comes_before_any_start() {
    let mut world = with_sidecar();
    for name in ["i", "j"] {
        world.settle();
        world.exit(name, 0);
    }
    world.settle();
    world.exit("s", 1);
    world.liveness.insert("a".into(), ProbeVerdict::Failure);
    let done: Vec<String> = world.plan().actions.iter().map(brief).collect();
    assert_eq!(done, ["kill a Liveness", "start s", "start a"]);

    let mut world = two();
    world.settle();
    world.exit("a", 1);
    world.liveness.insert("b".into(), ProbeVerdict::Failure);
    let done: Vec<String> = world.plan().actions.iter().map(brief).collect();
    assert_eq!(done, ["kill b Liveness", "start a", "start b"]);
}

#[test]
fn a_container_in_an_unknown_state_is_stopped_before_it_is_started() {
    let mut world = two();
    world.settle();
    world.set_state("a", ContainerState::Unknown);
    assert_eq!(world.settle()[..2], ["kill a UnknownState", "start a"]);
}

#[test]
fn a_container_left_created_by_a_crash_is_replaced_and_removed() {
    let mut world = two();
    world.settle();
    world.set_state("b", ContainerState::Created);
    assert_eq!(world.settle(), ["start b", "remove b-0-3"]);
}

mod garbage;
mod laws;
