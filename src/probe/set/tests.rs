use k8s_openapi::api::core::v1::{ExecAction, PodSpec, Probe};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{advance, timeout};

use super::*;
use crate::cri::{CriError, ExecOutput};
use crate::probe::exec::fake::{FakeExec, call, exits};
use crate::probe::threshold::Outcome;

impl ProbeEvents for UnboundedSender<ProbeEvent> {
    fn tell(&self, event: ProbeEvent) {
        let _ = self.send(event);
    }
}

struct Pod1 {
    pod: Pod,
    set: ProbeSet<FakeExec>,
    runtime: FakeExec,
    notify: Arc<Notify>,
    events: UnboundedReceiver<ProbeEvent>,
    origin: tokio::time::Instant,
    state: ContainerState,
    had_started: bool,
    phase: PodPhase,
}

fn exec_probe(command: &str, period: i32) -> Probe {
    Probe {
        exec: Some(ExecAction { command: Some(vec![command.into()]) }),
        period_seconds: Some(period),
        ..Default::default()
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Pod1 {
    fn new(container: Container, runtime: FakeExec) -> Self {
        let spec =
            PodSpec { containers: vec![Container { name: "c".into(), ..container }], ..Default::default() };
        let (sender, events) = unbounded_channel();
        let notify = Arc::new(Notify::new());
        let set = ProbeSet::new(runtime.clone(), Arc::clone(&notify), Arc::new(sender), now());
        Self {
            pod: Pod { spec: Some(spec), ..Default::default() },
            set,
            runtime,
            notify,
            events,
            origin: tokio::time::Instant::now(),
            state: ContainerState::Absent,
            had_started: false,
            phase: PodPhase::Live,
        }
    }

    fn runs(&mut self, id: &str) {
        self.state = ContainerState::Running { id: id.into(), since: now() };
        self.sync();
    }

    fn sync(&mut self) {
        let views = [ContainerView { name: "c", state: self.state.clone(), had_started: self.had_started }];
        self.set.sync(&self.pod, &views, None, self.phase);
    }

    /// What a pod worker does: sync again whenever a result changed, until half a second after `seconds` from the start.
    async fn until(&mut self, seconds: u64) {
        let end = self.origin + Duration::from_secs(seconds) + Duration::from_millis(500);
        loop {
            let notify = Arc::clone(&self.notify);
            if tokio::time::timeout_at(end, notify.notified()).await.is_err() {
                return;
            }
            self.sync();
        }
    }

    /// When and on which instance commands ran, in milliseconds.
    fn calls(&self) -> Vec<(u128, String)> {
        let calls = self.runtime.calls.lock().unwrap();
        calls.iter().map(|(at, id, _)| ((*at - self.origin).as_millis(), id.clone())).collect()
    }

    fn times(&self) -> Vec<u128> {
        self.calls().into_iter().map(|(at, _)| at).collect()
    }

    fn readiness(&self) -> Readiness {
        self.set.results().of("c").unwrap().readiness()
    }

    fn messages(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.events.try_recv().ok()).map(|event| event.message).collect()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that the callers take")]
fn well(_: &[String]) -> Result<ExecOutput, CriError> {
    Ok(exits(0, "", ""))
}

#[tokio::test(start_paused = true)]
async fn a_failing_liveness_probe_condemns_its_container_and_rests_until_the_next() {
    let probe = Probe { failure_threshold: Some(2), timeout_seconds: Some(3), ..exec_probe("alive", 2) };
    let runtime = FakeExec::new(|_| Ok(exits(1, "sick", "")));
    let mut pod = Pod1::new(Container { liveness_probe: Some(probe), ..Default::default() }, runtime);
    pod.sync();
    tokio::task::yield_now().await;
    pod.runs("a");
    timeout(Duration::from_secs(60), pod.notify.notified()).await.unwrap();
    assert_eq!(pod.times(), [2_000, 4_000]);
    assert_eq!(pod.set.results().of("c").unwrap().condemned(), Some((&"a".into(), ProbeKind::Liveness)));
    pod.until(20).await;
    assert_eq!(pod.times(), [2_000, 4_000], "on hold");
    pod.state = ContainerState::Terminated { id: "a".into() };
    pod.sync();
    pod.runs("b");
    assert_eq!(pod.set.results().of("c").unwrap().condemned(), None);
    pod.until(23).await;
    assert_eq!(pod.calls()[2..], [(22_000, "b".to_owned())]);
    let timeouts: Vec<_> = pod.runtime.calls.lock().unwrap().iter().map(|call| call.2).collect();
    assert_eq!(timeouts, [Some(Duration::from_secs(3)); 3]);
    assert_eq!(pod.messages(), ["Liveness probe failed: sick"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_ready_as_soon_as_its_container_is() {
    let container = Container { readiness_probe: Some(exec_probe("ready", 10)), ..Default::default() };
    let mut pod = Pod1::new(container, FakeExec::new(well));
    pod.sync();
    assert_eq!(pod.readiness(), Readiness::NotReady);
    pod.until(3).await;
    pod.runs("a");
    assert_eq!(pod.readiness(), Readiness::NotReady);
    timeout(Duration::from_millis(1), pod.notify.notified()).await.unwrap();
    assert_eq!(pod.readiness(), Readiness::Ready);
    pod.until(24).await;
    assert_eq!(pod.times(), [3_500, 13_500, 23_500]);
    pod.state = ContainerState::Terminated { id: "a".into() };
    pod.sync();
    assert_eq!(pod.readiness(), Readiness::NotReady);
}

#[tokio::test(start_paused = true)]
async fn readiness_that_is_lost_is_asked_again_at_once_and_ticks_from_there() {
    let probe = Probe { failure_threshold: Some(1), ..exec_probe("ready", 10) };
    let asked = Mutex::new(0);
    let runtime = FakeExec::new(move |_| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        Ok(exits(i32::from(*asked == 2), "", ""))
    });
    let mut pod = Pod1::new(Container { readiness_probe: Some(probe), ..Default::default() }, runtime);
    pod.sync();
    pod.runs("a");
    pod.until(5).await;
    assert_eq!(pod.readiness(), Readiness::Ready);
    pod.until(10).await;
    assert_eq!(pod.times(), [0, 10_000, 10_000], "a failure by chance is made good at once");
    assert_eq!(pod.readiness(), Readiness::Ready);
    pod.until(25).await;
    assert_eq!(pod.times(), [0, 10_000, 10_000, 20_000]);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_not_ready_is_asked_when_another_changes() {
    let ready = Probe { failure_threshold: Some(1), ..exec_probe("ready", 10) };
    let mut pod = Pod1::new(
        Container { readiness_probe: Some(ready), ..Default::default() },
        FakeExec::new(|_| Ok(exits(1, "", ""))),
    );
    pod.pod.spec.as_mut().unwrap().containers.push(Container { name: "d".into(), ..Default::default() });
    pod.runs("a");
    pod.until(3).await;
    assert_eq!(pod.times(), [0], "a failure that is none new causes nothing");
    let c = ContainerView { name: "c", state: pod.state.clone(), had_started: false };
    let d = ContainerView {
        name: "d",
        state: ContainerState::Running { id: "b".into(), since: now() },
        had_started: false,
    };
    for _ in 0..2 {
        pod.set.sync(&pod.pod, &[c.clone(), d.clone()], None, pod.phase);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(pod.times(), [0, 3_500], "once");
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(pod.times(), [0, 3_500, 13_500]);
}

#[tokio::test(start_paused = true)]
async fn the_others_wait_for_the_startup_probe() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let commands = Arc::clone(&seen);
    let runtime = FakeExec::new(move |command| {
        let mut commands = commands.lock().unwrap();
        commands.push(command[0].clone());
        let tried = commands.iter().filter(|known| *known == "startup").count();
        Ok(exits(i32::from(command[0] == "startup" && tried < 3), "", ""))
    });
    let container = Container {
        startup_probe: Some(exec_probe("startup", 1)),
        liveness_probe: Some(exec_probe("alive", 1)),
        readiness_probe: Some(exec_probe("ready", 1)),
        ..Default::default()
    };
    let mut pod = Pod1::new(container, runtime);
    pod.sync();
    tokio::task::yield_now().await;
    pod.runs("a");
    pod.until(2).await;
    assert!(!pod.set.results().of("c").unwrap().started());
    assert_eq!(*seen.lock().unwrap(), ["startup", "startup"]);
    pod.until(5).await;
    assert!(pod.set.results().of("c").unwrap().started());
    assert_eq!(pod.readiness(), Readiness::Ready);
    let seen = seen.lock().unwrap();
    assert_eq!(seen[2..4], ["startup", "ready"], "readiness is asked at once");
    assert_eq!(seen.iter().filter(|command| *command == "startup").count(), 3);
    assert!(seen.contains(&"alive".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_cant_be_made_is_tried_three_times_told_and_forgotten() {
    let runtime = FakeExec::new(|_| Err(CriError::NotFound { call: call(), message: "no such".into() }));
    let container = Container { liveness_probe: Some(exec_probe("alive", 10)), ..Default::default() };
    let mut pod = Pod1::new(container, runtime);
    pod.sync();
    tokio::task::yield_now().await;
    pod.runs("a");
    pod.until(65).await;
    assert_eq!(pod.times().len(), 18, "three times at each of six ticks");
    assert_eq!(pod.messages(), ["Liveness probe errored: rpc error: code = NotFound desc = no such"; 6]);
    assert_eq!(pod.set.results().of("c").unwrap().condemned(), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_a_container_that_went_meanwhile_is_dropped() {
    let probe = Probe { failure_threshold: Some(1), ..exec_probe("alive", 10) };
    let runtime = FakeExec::new(|_| Ok(exits(1, "", ""))).taking(Duration::from_secs(5));
    let mut pod = Pod1::new(Container { liveness_probe: Some(probe), ..Default::default() }, runtime);
    pod.sync();
    tokio::task::yield_now().await;
    pod.runs("a");
    pod.until(12).await;
    assert_eq!(pod.times(), [10_000]);
    pod.runs("b");
    pod.until(18).await;
    assert_eq!(pod.messages(), [""; 0]);
    assert_eq!(pod.set.results().of("c").unwrap().condemned(), None);
    assert_eq!(
        pod.set.results().of("c").unwrap().result(ProbeKind::Liveness),
        Some((&"b".into(), Outcome::Success))
    );
}

#[tokio::test(start_paused = true)]
async fn a_terminating_pod_keeps_its_readiness_probe_and_loses_the_others() {
    let container = Container {
        liveness_probe: Some(exec_probe("alive", 1)),
        readiness_probe: Some(exec_probe("ready", 2)),
        ..Default::default()
    };
    let mut pod = Pod1::new(container, FakeExec::new(well));
    pod.runs("a");
    pod.until(5).await;
    pod.phase = PodPhase::Terminating;
    pod.sync();
    let before = pod.calls().len();
    pod.until(9).await;
    assert_eq!(pod.calls().len() - before, 2, "readiness at 6 s and 8 s");
}

#[tokio::test(start_paused = true)]
async fn adopted_containers_are_probed_spread_over_their_period() {
    advance(Duration::from_secs(100)).await;
    let container = Container { readiness_probe: Some(exec_probe("ready", 10)), ..Default::default() };
    let since = now().checked_sub(Duration::from_secs(50)).unwrap();
    let mut firsts = Vec::new();
    for uid in 0..40 {
        let mut pod = Pod1::new(container.clone(), FakeExec::new(well));
        pod.pod.metadata.uid = Some(uid.to_string());
        pod.state = ContainerState::Running { id: "a".into(), since };
        pod.sync();
        assert_eq!(pod.readiness(), Readiness::NotYetKnown);
        timeout(Duration::from_secs(10), pod.notify.notified()).await.unwrap();
        assert_eq!(pod.readiness(), Readiness::Ready);
        firsts.push(pod.times()[0]);
    }
    let late = firsts.iter().filter(|at| **at >= 5_000).count();
    assert!((8..=32).contains(&late), "{late} of 40 in the second half");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_set_asks_nothing_more() {
    let container = Container { liveness_probe: Some(exec_probe("alive", 1)), ..Default::default() };
    let mut pod = Pod1::new(container, FakeExec::new(well));
    pod.runs("a");
    pod.until(3).await;
    let runtime = pod.runtime.clone();
    drop(pod);
    let before = runtime.calls.lock().unwrap().len();
    assert!(before > 0);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(runtime.calls.lock().unwrap().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_probe_is_small() {
    let (_view, views) = watch::channel(TaskView::default());
    let spec = ProbeSpec::of(
        ProbeKind::Liveness,
        &Container { liveness_probe: Some(exec_probe("alive", 1)), ..Default::default() },
    )
    .unwrap();
    let task = Task {
        worker: Worker::new(&spec, now(), now(), None),
        spec,
        container: "c".into(),
        views,
        stored: SharedResult::default(),
        runtime: FakeExec::new(well),
        notify: Arc::new(Notify::new()),
        events: Arc::new(unbounded_channel().0),
    };
    let size = std::mem::size_of_val(&task.run());
    assert!(size <= 1536, "{size} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_had_started_is_not_asked_again_whether_it_has() {
    advance(Duration::from_secs(100)).await;
    let container = Container {
        startup_probe: Some(Probe { failure_threshold: Some(1), ..exec_probe("startup", 1) }),
        liveness_probe: Some(exec_probe("alive", 1)),
        ..Default::default()
    };
    let seen = Arc::new(Mutex::new(Vec::new()));
    let commands = Arc::clone(&seen);
    let runtime = FakeExec::new(move |command| {
        commands.lock().unwrap().push(command[0].clone());
        Ok(exits(i32::from(command[0] == "startup"), "", ""))
    });
    let mut pod = Pod1::new(container, runtime);
    let since = now().checked_sub(Duration::from_secs(50)).unwrap();
    (pod.state, pod.had_started) = (ContainerState::Running { id: "a".into(), since }, true);
    pod.sync();
    assert!(pod.set.results().of("c").unwrap().started());
    pod.until(5).await;
    let asked = std::mem::take(&mut *seen.lock().unwrap());
    assert!(asked.len() > 3 && asked.iter().all(|command| command == "alive"), "{asked:?}");
    assert_eq!(pod.set.results().of("c").unwrap().condemned(), None);
    pod.state = ContainerState::Terminated { id: "a".into() };
    pod.sync();
    pod.runs("b");
    assert!(!pod.set.results().of("c").unwrap().started(), "the next instance has to start by itself");
    pod.until(8).await;
    assert!(seen.lock().unwrap().contains(&"startup".to_owned()));
}
