use proptest::prelude::*;

use super::*;
use crate::probe::spec::HandlerError;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn spec(kind: ProbeKind) -> ProbeSpec {
    ProbeSpec {
        kind,
        handler: Err(HandlerError::Missing),
        initial_delay: s(0),
        timeout: s(1),
        period: s(10),
        success_threshold: 1,
        failure_threshold: 3,
    }
}

/// A worker, its clock and what it was told; times are seconds since the worker started.
struct Sim {
    worker: Worker,
    view: WorkerView,
    origin: Instant,
    now: Instant,
}

impl Sim {
    fn new(spec: &ProbeSpec) -> Self {
        let origin = Instant::now() + s(1_000_000);
        let worker = Worker::new(spec, origin, origin, None);
        let view = WorkerView { startup: Startup::Done, ..WorkerView::default() };
        let mut sim = Self { worker, view, origin, now: origin };
        sim.look();
        sim
    }

    fn look(&mut self) -> Next {
        self.worker.observe(&self.view, self.now)
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = self.origin + Duration::from_millis(millis);
        self
    }

    fn runs(&mut self, id: &str) -> &mut Self {
        self.view.state = ContainerState::Running { id: id.into(), since: self.now };
        self
    }

    fn ends(&mut self, id: &str) -> &mut Self {
        self.view.state = ContainerState::Terminated { id: id.into() };
        self.look();
        self
    }

    fn stored(&self) -> Option<(String, Outcome)> {
        self.worker.stored().map(|(id, outcome)| (id.to_string(), outcome))
    }

    /// Goes on until `until` ms; each attempt takes `takes` ms and comes to what `outcome` says. Answers the attempts' starts.
    fn run(&mut self, until: u64, takes: u64, mut outcome: impl FnMut(u64) -> Option<Outcome>) -> Vec<u64> {
        let mut attempts = Vec::new();
        let end = self.origin + Duration::from_millis(until);
        while self.now <= end {
            match self.look() {
                Next::Attempt(id) => {
                    let started = self.millis();
                    attempts.push(started);
                    self.now += Duration::from_millis(takes);
                    if let Some(outcome) = outcome(started) {
                        self.worker.conclude(&id, outcome);
                    }
                }
                Next::At(instant) if instant <= end => self.now = instant,
                Next::At(_) | Next::OnChange | Next::End => break,
            }
        }
        self.now = end;
        attempts
    }

    fn millis(&self) -> u64 {
        u64::try_from((self.now - self.origin).as_millis()).unwrap()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that the callers take")]
fn fails(_: u64) -> Option<Outcome> {
    Some(Outcome::Failure)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that the callers take")]
fn succeeds(_: u64) -> Option<Outcome> {
    Some(Outcome::Success)
}

#[test]
fn liveness_keeps_the_grid_of_its_worker_across_containers() {
    let mut sim = Sim::new(&ProbeSpec { period: s(2), failure_threshold: 2, ..spec(ProbeKind::Liveness) });
    sim.at(10).runs("a");
    let attempts =
        sim.run(30_000, 0, |at| Some(if at >= 6_000 { Outcome::Failure } else { Outcome::Success }));
    assert_eq!(attempts, [2_000, 4_000, 6_000, 8_000], "then on hold");
    assert_eq!(sim.stored(), Some(("a".into(), Outcome::Failure)));
    sim.at(8_010).ends("a").runs("b");
    assert_eq!(sim.run(14_000, 0, succeeds), [10_000, 12_000, 14_000]);
    assert_eq!(sim.stored(), Some(("b".into(), Outcome::Success)));
}

#[test]
fn ticks_that_pass_while_a_probe_rests_are_not_made_up_for() {
    let mut sim = Sim::new(&spec(ProbeKind::Liveness));
    sim.at(34_000).runs("a");
    assert_eq!(sim.run(50_000, 0, succeeds), [40_000, 50_000]);
}

#[test]
fn a_worker_that_meets_a_running_container_asks_at_once() {
    let mut sim = Sim::new(&spec(ProbeKind::Liveness));
    sim.worker = Worker::new(&spec(ProbeKind::Liveness), sim.origin, sim.origin, None);
    sim.runs("a");
    assert_eq!(sim.run(10_000, 0, succeeds), [0, 10_000]);
}

#[test]
fn readiness_asks_as_soon_as_the_container_has_started_and_ticks_from_there() {
    let mut sim = Sim::new(&spec(ProbeKind::Readiness));
    sim.at(3_000).runs("a").view.startup = Startup::Pending;
    assert_eq!(sim.look(), Next::OnChange);
    assert_eq!(sim.stored(), Some(("a".into(), Outcome::Failure)), "the initial result");
    sim.at(7_500).view.startup = Startup::Done;
    assert_eq!(sim.run(30_000, 0, succeeds), [7_500, 17_500, 27_500]);
    assert_eq!(sim.stored(), Some(("a".into(), Outcome::Success)));
}

#[test]
fn initial_results_are_the_kubelets() {
    for (kind, initial) in [
        (ProbeKind::Startup, None),
        (ProbeKind::Liveness, Some(Outcome::Success)),
        (ProbeKind::Readiness, Some(Outcome::Failure)),
    ] {
        let mut sim = Sim::new(&ProbeSpec { initial_delay: s(60), ..spec(kind) });
        if kind == ProbeKind::Startup {
            sim.view.startup = Startup::Pending;
        }
        sim.at(1).runs("a");
        assert!(matches!(sim.look(), Next::At(_)));
        assert_eq!(sim.stored().map(|(_, outcome)| outcome), initial, "{kind}");
    }
}

#[test]
fn a_container_found_running_has_no_result_before_it_is_probed() {
    for kind in [ProbeKind::Liveness, ProbeKind::Readiness] {
        let mut sim = Sim::new(&spec(kind));
        let since = sim.origin.checked_sub(s(100)).unwrap();
        sim.view.state = ContainerState::Running { id: "a".into(), since };
        sim.at(1);
        sim.look();
        assert_eq!(sim.stored(), None, "{kind}");
    }
}

#[test]
fn a_late_first_tick_holds_readiness_back_too() {
    let mut sim = Sim::new(&spec(ProbeKind::Readiness));
    sim.worker = Worker::new(&spec(ProbeKind::Readiness), sim.origin + s(4), sim.origin, None);
    let since = sim.origin.checked_sub(s(100)).unwrap();
    sim.view.state = ContainerState::Running { id: "a".into(), since };
    assert_eq!(sim.run(30_000, 0, succeeds), [4_000, 14_000, 24_000]);
}

#[test]
fn nothing_is_asked_before_the_initial_delay_has_passed() {
    for (started, delay, expected) in [
        (10, 5, [10_000, 20_000]),
        (10, 10, [10_010, 20_000]), // the tick 10 ms short of the delay waits for it
        (1_500, 9, [10_500, 20_000]),
        (1_500, 10, [20_000, 30_000]),
        (10, 25, [30_000, 40_000]),
    ] {
        let mut sim = Sim::new(&ProbeSpec { initial_delay: s(delay), ..spec(ProbeKind::Liveness) });
        sim.at(started).runs("a");
        let attempts = sim.run(45_000, 0, succeeds);
        assert_eq!(attempts[..2], expected, "started at {started} ms, delay {delay} s");
    }
}

#[test]
fn a_result_counts_when_its_threshold_is_reached_in_a_row() {
    use Outcome::{Failure as F, Success as S};
    let script = [F, S, S, F, S, S, S, F, F, S, F, F, F];
    let expected = [F, F, F, F, F, F, S, S, S, S, S, S, F];
    let mut sim = Sim::new(&ProbeSpec { success_threshold: 3, ..spec(ProbeKind::Readiness) });
    sim.at(10).runs("a");
    sim.look();
    for (step, (outcome, stored)) in script.into_iter().zip(expected).enumerate() {
        sim.worker.conclude(&"a".into(), outcome);
        assert_eq!(sim.worker.stored, Some(stored), "after step {step}");
    }
}

#[test]
fn counting_goes_on_over_a_restart_that_the_probe_did_not_cause() {
    let mut sim = Sim::new(&spec(ProbeKind::Liveness));
    sim.at(10).runs("a");
    assert_eq!(sim.run(20_000, 0, fails).len(), 2);
    sim.at(20_500).ends("a").runs("b");
    assert_eq!(sim.run(30_000, 0, fails), [30_000]);
    assert_eq!(sim.stored(), Some(("b".into(), Outcome::Failure)), "the third in a row");
}

#[test]
fn startup_is_asked_until_its_first_result_and_then_again_for_the_next_container() {
    let mut sim = Sim::new(&ProbeSpec { period: s(1), ..spec(ProbeKind::Startup) });
    sim.view.startup = Startup::Pending;
    sim.at(10).runs("a");
    let outcome = |at| Some(if at < 2_000 { Outcome::Failure } else { Outcome::Success });
    assert_eq!(sim.run(60_000, 0, outcome), [1_000, 2_000]);
    assert_eq!(sim.stored(), Some(("a".into(), Outcome::Success)));
    sim.ends("a").runs("b");
    assert_eq!(sim.run(70_000, 0, fails), [61_000, 62_000, 63_000]);
    assert_eq!(sim.stored(), Some(("b".into(), Outcome::Failure)));
}

#[test]
fn an_attempt_longer_than_the_period_is_followed_by_one_at_once_and_no_more() {
    let mut sim = Sim::new(&ProbeSpec { period: s(2), ..spec(ProbeKind::Liveness) });
    sim.at(10).runs("a");
    let attempts = sim.run(11_000, 5_000, succeeds);
    assert_eq!(attempts, [2_000, 7_000], "the ticks in between count as one");
}

#[test]
fn an_attempt_without_result_changes_nothing() {
    let mut sim = Sim::new(&spec(ProbeKind::Liveness));
    sim.at(10).runs("a");
    let attempts = sim.run(60_000, 0, |at| (at != 30_000).then_some(Outcome::Failure));
    assert_eq!(attempts, [10_000, 20_000, 30_000, 40_000]);
}

#[test]
fn a_result_for_a_container_that_is_gone_is_dropped() {
    let mut sim = Sim::new(&ProbeSpec { failure_threshold: 1, ..spec(ProbeKind::Liveness) });
    sim.at(10).runs("a");
    sim.look();
    sim.at(20).ends("a").runs("b");
    sim.look();
    assert_eq!(sim.worker.conclude(&"a".into(), Outcome::Failure), Change::None);
    assert_eq!(sim.stored(), Some(("b".into(), Outcome::Success)));
}

#[test]
fn a_container_that_has_ended_fails() {
    for kind in ProbeKind::ALL {
        let mut sim = Sim::new(&spec(kind));
        sim.at(10).runs("a");
        sim.look();
        sim.ends("a");
        assert_eq!(sim.stored(), Some(("a".into(), Outcome::Failure)), "{kind}");
        assert_eq!(sim.look(), Next::OnChange);
    }
}

#[test]
fn a_terminating_pod_is_only_asked_for_readiness() {
    for kind in ProbeKind::ALL {
        let mut sim = Sim::new(&spec(kind));
        sim.at(10).runs("a");
        sim.look();
        sim.view.phase = PodPhase::Terminating;
        let next = sim.at(20).look();
        if kind == ProbeKind::Readiness {
            assert_ne!(next, Next::End);
        } else {
            assert_eq!(next, Next::End);
            assert_eq!(sim.stored(), Some(("a".into(), Outcome::Success)), "{kind}");
        }
    }
}

#[derive(Debug, Clone)]
enum Happening {
    Pass(u64),
    Start,
    End,
    Remove,
    StartupDone,
    Result(Outcome),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0_u64..25_000).prop_map(Happening::Pass),
        1 => Just(Happening::Start),
        1 => Just(Happening::End),
        1 => Just(Happening::Remove),
        1 => Just(Happening::StartupDone),
        4 => prop_oneof![Just(Outcome::Success), Just(Outcome::Failure)].prop_map(Happening::Result),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_attempts_are_for_running_containers_a_period_apart_and_never_too_early(
        history in prop::collection::vec(happening(), 1..80),
        kind in prop::sample::select(ProbeKind::ALL.to_vec()),
        delay in 0_u64..30,
        period in 1_u64..12,
    ) {
        let spec = ProbeSpec { initial_delay: s(delay), period: s(period), ..spec(kind) };
        let mut sim = Sim::new(&spec);
        sim.view.startup = Startup::Pending;
        let (mut instance, mut ticks) = (0, Vec::new());
        for happening in history {
            match happening {
                Happening::Pass(millis) => sim.now += Duration::from_millis(millis),
                Happening::Start => {
                    instance += 1;
                    sim.view.startup = Startup::Pending;
                    sim.runs(&instance.to_string());
                }
                Happening::End => sim.view.state = ContainerState::Terminated { id: instance.to_string().into() },
                Happening::Remove => sim.view.state = ContainerState::Absent,
                Happening::StartupDone => sim.view.startup = Startup::Done,
                Happening::Result(outcome) => {
                    if let Some(id) = sim.view.state.running().cloned() {
                        sim.worker.conclude(&id, outcome);
                    }
                }
            }
            match sim.look() {
                Next::Attempt(id) => {
                    prop_assert_eq!(Some(&id), sim.view.state.running());
                    let ContainerState::Running { since, .. } = sim.view.state else { unreachable!() };
                    prop_assert!(sim.now >= since + s(delay));
                    prop_assert_eq!(kind == ProbeKind::Startup, sim.view.startup == Startup::Pending);
                    ticks.push(sim.now);
                    prop_assert!(!matches!(sim.look(), Next::Attempt(_)), "one attempt a tick");
                }
                Next::At(instant) => {
                    prop_assert!(instant > sim.now);
                    prop_assert!(instant <= sim.now + s(delay) + s(period));
                }
                Next::OnChange => {}
                Next::End => prop_assert!(false, "a live pod's probe never ends"),
            }
        }
        for three in ticks.windows(3).filter(|_| kind != ProbeKind::Readiness) {
            prop_assert!(three[2] - three[0] >= s(period), "late ticks are not made up for");
        }
    }
}
