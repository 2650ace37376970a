use std::time::Duration;

use k8s_openapi::api::core::v1::ContainerStatus;
use serde_json::{Value, json};

use super::*;
use crate::cri::SandboxId;
use crate::pod::disruption::Disruption;
use crate::pod::failure::{FailureReason, Fault};
use crate::pod::observed::{Container, ContainerState, Exit, Network, Sandbox, SandboxState};

struct Probes {
    started: bool,
    ready: bool,
}

impl ProbeStates for Probes {
    fn is_started(&self, _: &str, _: &ContainerId) -> bool {
        self.started
    }
    fn is_ready(&self, _: &str, _: &ContainerId) -> bool {
        self.ready
    }
}

const PASSING: Probes = Probes { started: true, ready: true };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

fn running(name: &str, attempt: u32) -> Container {
    container(name, attempt, ContainerState::Running { started_at: at(1) })
}

fn exited(name: &str, attempt: u32, code: i32) -> Container {
    let reason = if code == 0 { "Completed" } else { "Error" };
    let exit = Exit {
        code,
        reason: reason.into(),
        message: String::new(),
        started_at: Some(at(1)),
        finished_at: at(2),
    };
    container(name, attempt, ContainerState::Exited(exit))
}

fn container(name: &str, attempt: u32, state: ContainerState) -> Container {
    Container {
        id: ContainerId::from(format!("{name}-{attempt}")),
        sandbox: SandboxId::from("s".to_owned()),
        name: name.into(),
        attempt,
        state,
        hash: None,
        restart_delay: Duration::ZERO,
        image: "registry.example/app:1".into(),
        image_ref: "sha256:1".into(),
        created_at: i64::from(attempt),
    }
}

fn observed(containers: Vec<Container>) -> Observed {
    let sandbox = Sandbox {
        id: SandboxId::from("s".to_owned()),
        attempt: 0,
        state: SandboxState::Ready,
        network: Network::Pod,
        ips: vec!["10.1.2.3".parse().expect("an address")],
        created_at: 0,
    };
    let mut observed = Observed { sandboxes: vec![sandbox], containers };
    observed.sort();
    observed
}

struct Case {
    spec: Value,
    observed: Observed,
    probes: Probes,
    waiting: BTreeMap<String, Waiting>,
    vanished: BTreeMap<String, Vanished>,
    ending: Ending,
    failure: Option<Failure>,
    disruption: Option<Disruption>,
}

impl Case {
    fn of(spec: Value, containers: Vec<Container>) -> Self {
        Self {
            spec,
            observed: observed(containers),
            probes: PASSING,
            waiting: BTreeMap::new(),
            vanished: BTreeMap::new(),
            ending: Ending::No,
            failure: None,
            disruption: None,
        }
    }

    fn waiting(mut self, name: &str, reason: &str) -> Self {
        self.waiting.insert(name.into(), Waiting { reason: reason.into(), message: "why".into() });
        self
    }

    fn status(&self, previous: Option<&PodStatus>, now: i64) -> PodStatus {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": self.spec})).expect("a pod");
        derive(Inputs {
            pod: &pod,
            observed: &self.observed,
            probes: &self.probes,
            waiting: &self.waiting,
            vanished: &self.vanished,
            sandbox: SandboxNeed::Usable,
            ending: self.ending,
            failure: self.failure.as_ref(),
            disruption: self.disruption,
            qos_class: "BestEffort",
            previous: previous.and_then(|status| status.conditions.as_deref()).unwrap_or_default(),
            recursive_read_only: Some(true),
            host_ips: &["192.0.2.1".parse().expect("an address")],
            pod_ips: &["10.1.2.3".parse().expect("an address")],
            start_time: at(0),
            now: at(now),
        })
    }

    fn phase(&self) -> String {
        self.status(None, 5).phase.expect("a phase")
    }
}

fn one() -> Value {
    json!({"containers": [{"name": "c"}]})
}

fn with_init() -> Value {
    json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]})
}

fn with_sidecar() -> Value {
    json!({"initContainers": [{"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "c"}]})
}

#[test]
fn the_phase_follows_the_containers() {
    for (spec, containers, expected) in [
        (one(), vec![], "Pending"),
        (one(), vec![running("c", 0)], "Running"),
        (one(), vec![exited("c", 0, 1)], "Running"),
        (with_init(), vec![], "Pending"),
        (with_init(), vec![running("i", 0)], "Pending"),
        (with_init(), vec![exited("i", 0, 0)], "Pending"),
        (with_init(), vec![exited("i", 0, 0), running("c", 0)], "Running"),
        (with_sidecar(), vec![running("s", 0)], "Pending"),
        (with_sidecar(), vec![running("s", 0), running("c", 0)], "Running"),
    ] {
        let case = Case::of(spec, containers);
        assert_eq!(case.phase(), expected, "{:?}", case.observed);
    }
}

#[test]
fn a_pod_that_ends_has_succeeded_or_failed_once_nothing_runs() {
    for (code, expected) in [(0, "Succeeded"), (137, "Failed")] {
        let mut case = Case::of(one(), vec![exited("c", 0, code)]);
        case.ending = Ending::Yes;
        assert_eq!(case.phase(), expected);
        let status = case.status(None, 5);
        let initialized = condition(&status, "Initialized");
        let reason = (code == 0).then_some("PodCompleted");
        assert_eq!((initialized.status.as_str(), initialized.reason.as_deref()), ("True", reason));
    }
}

#[test]
fn a_pod_that_fails_has_failed_once_nothing_runs() {
    let failure = |fault| Failure {
        reason: FailureReason::Evicted,
        message: "The node was low on resource: memory. ".into(),
        grace: None,
        fault,
    };
    let mut case = Case::of(one(), vec![running("c", 0)]);
    (case.ending, case.failure) = (Ending::Yes, Some(failure(Fault::Node)));
    let status = case.status(None, 5);
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Running"), None));
    let conditions = status.conditions.expect("conditions");
    assert!(conditions.iter().all(|condition| condition.type_ != "DisruptionTarget"), "it runs still");
    for (containers, expected) in [(vec![exited("c", 0, 0)], Some(1)), (vec![], None)] {
        case.observed = observed(containers);
        let status = case.status(None, 5);
        assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("Evicted")));
        assert!(status.message.is_some_and(|message| message.contains("memory")));
        assert_eq!(status.container_statuses.map(|statuses| statuses.len()), expected);
        let conditions = status.conditions.expect("conditions");
        let reason = |type_: &str| {
            let found = conditions.iter().find(|condition| condition.type_ == type_);
            found.and_then(|condition| condition.reason.as_deref())
        };
        assert_eq!(reason("Ready"), Some("PodFailed"));
        assert_eq!(reason("DisruptionTarget"), Some("TerminationByKubelet"));
    }
    case.failure = Some(failure(Fault::Own));
    let conditions = case.status(None, 5).conditions.expect("conditions");
    assert!(conditions.iter().all(|condition| condition.type_ != "DisruptionTarget"));
}

#[test]
fn a_pod_that_others_end_before_its_time_says_who() {
    let mut case = Case::of(one(), vec![running("c", 0)]);
    case.ending = Ending::Yes;
    let told = |case: &Case| {
        let conditions = case.status(None, 5).conditions.expect("conditions");
        let target = conditions.into_iter().find(|condition| condition.type_ == "DisruptionTarget");
        target.map(|target| {
            (target.status, target.reason.unwrap_or_default(), target.message.unwrap_or_default())
        })
    };
    assert_eq!(told(&case), None);
    for (disruption, reason, message) in [
        (
            Disruption::PreemptionByScheduler,
            "PreemptionByScheduler",
            "default-scheduler: preempting to accommodate a higher priority pod",
        ),
        (
            Disruption::DeletionByTaintManager,
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
        ),
    ] {
        case.disruption = Some(disruption);
        assert_eq!(told(&case), Some(("True".to_owned(), reason.to_owned(), message.to_owned())));
    }
}

#[test]
fn a_crash_loop_waits_with_its_end_as_the_last_state() {
    let status = Case::of(one(), vec![exited("c", 3, 1)]).waiting("c", "CrashLoopBackOff").status(None, 5);
    let container = &status.container_statuses.as_ref().expect("statuses")[0];
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(container.restart_count, 3);
    let state = container.state.as_ref().and_then(|state| state.waiting.as_ref()).expect("waiting");
    assert_eq!(state.reason.as_deref(), Some("CrashLoopBackOff"));
    let last =
        container.last_state.as_ref().and_then(|state| state.terminated.as_ref()).expect("a last state");
    assert_eq!(last.exit_code, 1);
}

#[test]
fn the_messages_of_a_pods_containers_share_what_room_there_is() {
    let ended = |name: &str, message: &str| {
        let mut container = exited(name, 0, 1);
        if let ContainerState::Exited(exit) = &mut container.state {
            exit.message = message.to_owned();
        }
        container
    };
    let long = "é".repeat(4096);
    for (spec, room) in
        [(one(), 8192), (with_init(), 6144), (json!({"containers": vec![json!({"name": "c"}); 5]}), 2456)]
    {
        let status =
            Case::of(spec, vec![ended("c", &long)]).waiting("c", "CrashLoopBackOff").status(None, 10);
        let last = status.container_statuses.and_then(|statuses| statuses.into_iter().next()?.last_state);
        let message = last.and_then(|last| last.terminated?.message).unwrap_or_default();
        assert_eq!(message.len(), room);
    }
    let status = Case::of(with_init(), vec![ended("i", &long), ended("c", "short")]).status(None, 10);
    let message = |statuses: Option<Vec<k8s_openapi::api::core::v1::ContainerStatus>>| {
        statuses.and_then(|statuses| statuses.into_iter().next()?.state?.terminated?.message)
    };
    assert_eq!(message(status.init_container_statuses).map(|it| it.len()), Some(6144));
    assert_eq!(message(status.container_statuses).as_deref(), Some("short"));
}

#[test]
fn an_init_container_that_ended_well_is_never_shown_as_waiting() {
    let status =
        Case::of(with_init(), vec![exited("i", 0, 0)]).waiting("i", "CrashLoopBackOff").status(None, 5);
    let init = &status.init_container_statuses.expect("statuses")[0];
    assert!(init.ready && init.state.as_ref().is_some_and(|state| state.terminated.is_some()));
}

#[test]
fn an_init_container_whose_record_is_gone_has_ended_once_the_pod_has_come_further() {
    for regular in [running("c", 0), exited("c", 0, 1), container("c", 0, ContainerState::Created)] {
        let further = !matches!(regular.state, ContainerState::Created);
        let status = Case::of(with_init(), vec![regular]).status(None, 5);
        assert_eq!(status.phase.as_deref() == Some("Running"), further, "{status:?}");
        assert_eq!(condition(&status, "Initialized").status, "True");
        let init = &status.init_container_statuses.expect("statuses")[0];
        let ended = init.state.as_ref().and_then(|state| state.terminated.as_ref()).expect("terminated");
        assert_eq!((ended.exit_code, ended.reason.as_deref()), (0, Some("Completed")));
        assert!(init.ready);
    }
    // One that is to run again says what it waits for.
    let status = Case::of(with_init(), vec![exited("c", 0, 1)]).waiting("i", "ErrImagePull").status(None, 5);
    let init = &status.init_container_statuses.expect("statuses")[0];
    assert!(!init.ready && init.state.as_ref().is_some_and(|state| state.waiting.is_some()));
}

#[test]
fn a_plain_init_container_that_runs_has_started_whatever_is_known_of_probes() {
    let mut case = Case::of(with_init(), vec![running("i", 0)]);
    case.probes.started = false;
    let init = &case.status(None, 5).init_container_statuses.expect("statuses")[0];
    assert_eq!((init.started, init.ready), (Some(true), false));
}

#[test]
fn a_pod_whose_containers_ran_stays_initialized_while_its_sidecar_restarts() {
    for (regular, expected) in [
        (running("c", 0), "True"),
        (exited("c", 0, 1), "True"),
        (container("c", 0, ContainerState::Created), "False"),
    ] {
        let mut case = Case::of(with_sidecar(), vec![exited("s", 0, 1), regular]);
        case.probes.started = false;
        assert_eq!(condition(&case.status(None, 5), "Initialized").status, expected);
    }
}

#[test]
fn what_nothing_is_known_of_is_being_created() {
    for (spec, reason) in [(one(), "ContainerCreating"), (with_init(), "PodInitializing")] {
        let status = Case::of(spec, vec![]).status(None, 5);
        let state = status.container_statuses.expect("statuses")[0].state.clone().expect("a state");
        assert_eq!(state.waiting.and_then(|waiting| waiting.reason).as_deref(), Some(reason));
    }
}

fn ended(container: &ContainerStatus) -> Option<(i32, &str)> {
    let terminated = container.state.as_ref()?.terminated.as_ref()?;
    Some((terminated.exit_code, terminated.reason.as_deref().unwrap_or_default()))
}

#[test]
fn a_container_whose_record_was_removed_stays_as_it_ended_until_it_has_another() {
    let mut case = Case::of(with_sidecar(), vec![exited("c", 4, 137)]);
    assert_eq!(case.phase(), "Pending", "of one that was never known it can't be said that it ran");
    let last = (ContainerId::from("s-1".to_owned()), exited("s", 1, 2).exit().expect("an end").clone());
    case.vanished.insert("s".into(), Vanished { newest: exited("s", 2, 137), last: Some(last) });
    let status = case.status(None, 5);
    assert_eq!(status.phase.as_deref(), Some("Running"));
    let sidecar = &status.init_container_statuses.as_ref().expect("statuses")[0];
    assert_eq!((ended(sidecar), sidecar.restart_count), (Some((137, "Error")), 2));
    let last = sidecar.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    assert_eq!(last.map(|last| last.exit_code), Some(2));
    case.observed = observed(vec![exited("c", 4, 137), running("s", 0)]);
    let status = case.status(None, 5);
    let sidecar = &status.init_container_statuses.as_ref().expect("statuses")[0];
    assert_eq!((ended(sidecar), sidecar.restart_count), (None, 0), "what is there counts");
}

#[test]
fn a_container_that_ran_and_vanished_has_ended_nobody_knows_how() {
    let last = (ContainerId::from("c-1".to_owned()), exited("c", 1, 2).exit().expect("an end").clone());
    for (newest, last, ending, expected) in [
        (running("c", 2), None, Ending::No, Some((137, 3))),
        (running("c", 2), None, Ending::Yes, Some((137, 2))),
        (running("c", 2), Some(last), Ending::No, Some((2, 2))),
        (container("c", 2, ContainerState::Created), None, Ending::No, None),
    ] {
        let mut case = Case::of(one(), vec![]);
        case.ending = ending;
        case.vanished.insert("c".into(), Vanished { newest, last });
        let status = case.status(None, 5);
        let c = &status.container_statuses.as_ref().expect("statuses")[0];
        let last = c.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        assert_eq!(last.map(|last| (last.exit_code, c.restart_count)), expected);
        assert_eq!(status.phase.as_deref() == Some("Pending"), expected.is_none(), "{status:?}");
    }
}

#[test]
fn of_what_never_came_to_run_in_a_pod_that_has_failed_the_end_is_unknown() {
    let failure = Failure::terminated(Duration::from_secs(1));
    let names = |list: Option<Vec<ContainerStatus>>| -> Vec<(String, Option<i32>)> {
        let all = list.unwrap_or_default();
        all.iter().map(|status| (status.name.clone(), ended(status).map(|(code, _)| code))).collect()
    };
    let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let three = json!({"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "c"}]});
    for (spec, containers, init, regular) in [
        (two, vec![exited("a", 0, 0)], vec![], vec![("a", Some(0)), ("b", Some(137))]),
        (with_init(), vec![exited("i", 0, 1)], vec![("i", Some(1))], vec![("c", None)]),
        (with_init(), vec![exited("i", 0, 0)], vec![("i", Some(0))], vec![("c", Some(137))]),
        (
            three,
            vec![container("i", 0, ContainerState::Created)],
            vec![("i", Some(137)), ("j", None)],
            vec![("c", None)],
        ),
    ] {
        let mut case = Case::of(spec, containers);
        (case.ending, case.failure) = (Ending::Yes, Some(failure.clone()));
        let status = case.status(None, 5);
        let owned = |list: Vec<(&str, Option<i32>)>| -> Vec<_> {
            list.into_iter().map(|(name, code)| (name.to_owned(), code)).collect()
        };
        assert_eq!(names(status.init_container_statuses), owned(init));
        assert_eq!(names(status.container_statuses), owned(regular));
    }
}

#[test]
fn a_readiness_gate_that_nobody_sets_keeps_the_pod_unready() {
    let gated =
        json!({"containers": [{"name": "a"}], "readinessGates": [{"conditionType": "example.com/up"}]});
    let status = Case::of(gated, vec![running("a", 0)]).status(None, 5);
    assert_eq!(condition(&status, "ContainersReady").status, "True");
    let ready = condition(&status, "Ready");
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_deref(), ready.message.as_deref()),
        (
            "False",
            Some("ReadinessGatesNotReady"),
            Some("corresponding condition of pod readiness gate \"example.com/up\" does not exist.")
        )
    );
}

#[test]
fn conditions_name_what_is_missing() {
    let mut case = Case::of(json!({"containers": [{"name": "b"}, {"name": "a"}]}), vec![running("a", 0)]);
    case.probes.ready = false;
    let status = case.status(None, 5);
    let ready = condition(&status, "Ready");
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_deref(), ready.message.as_deref()),
        ("False", Some("ContainersNotReady"), Some("containers with unready status: [a b]"))
    );
    let status = Case::of(with_init(), vec![running("i", 0)]).status(None, 5);
    assert_eq!(
        condition(&status, "Initialized").message.as_deref(),
        Some("containers with incomplete status: [i]")
    );
}

#[test]
fn a_transition_time_moves_only_when_the_answer_does() {
    let mut case = Case::of(one(), vec![running("c", 0)]);
    let first = case.status(None, 5);
    let second = case.status(Some(&first), 9);
    assert_eq!(condition(&second, "Ready").last_transition_time, Some(Time(at(5))));
    case.probes.ready = false;
    let third = case.status(Some(&second), 12);
    assert_eq!(condition(&third, "Ready").last_transition_time, Some(Time(at(12))));
    assert_eq!(condition(&third, "Initialized").last_transition_time, Some(Time(at(5))));
}

fn condition<'a>(status: &'a PodStatus, type_: &str) -> &'a k8s_openapi::api::core::v1::PodCondition {
    let conditions = status.conditions.as_ref().expect("conditions");
    conditions.iter().find(|condition| condition.type_ == type_).expect("the condition")
}
