use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, advance};

use super::*;
use crate::pod::observed::Exit;
use crate::pod::plan::Memory as _;

const WALL: i64 = 1_800_000_000;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn memory() -> Memory {
    let wall = Timestamp::from_second(WALL).expect("a time");
    Memory::new(Clock::simulated(wall, Instant::now()), BackoffPolicy::KUBELET)
}

/// The `attempt`th instance of `main`; times are seconds since the clock was started.
fn instance(attempt: u32, started: i64, finished: Option<i64>) -> Container {
    let time = |at: i64| Timestamp::from_second(WALL + at).expect("a time");
    let state = match finished {
        None => ContainerState::Running { started_at: time(started) },
        Some(finished) => ContainerState::Exited(Exit {
            code: 1,
            reason: "Error".into(),
            message: String::new(),
            started_at: Some(time(started)),
            finished_at: time(finished),
        }),
    };
    Container {
        id: format!("main-{attempt}").into(),
        sandbox: "s".into(),
        name: "main".into(),
        attempt,
        state,
        hash: None,
        restart_delay: Duration::ZERO,
        image: String::new(),
        image_ref: String::new(),
        created_at: started,
    }
}

fn observed(containers: &[&Container]) -> Observed {
    let mut observed = Observed {
        containers: containers.iter().map(|container| (*container).clone()).collect(),
        ..Observed::default()
    };
    observed.sort();
    observed
}

fn waiting(message: &str) -> Waiting {
    Waiting { reason: "CreateContainerError".into(), message: message.into() }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ends_no_back_off_of_a_container_that_was_seen_alive() {
    let mut memory = memory();
    memory.note(&observed(&[&instance(0, 0, None)]));
    advance(s(1)).await;
    memory.note(&observed(&[&instance(0, 0, Some(1))]));
    assert_eq!(memory.restart_delay("main"), s(0));
    memory.note_restart("main");
    memory.note(&observed(&[&instance(1, 1, None)]));
    advance(s(1)).await;
    // A year ago, says the runtime.
    memory.note(&observed(&[&instance(1, 1, Some(-31_536_000))]));
    assert_eq!(memory.restart_delay("main"), s(9), "it lived until a second ago");
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_agent_made_has_the_back_off_that_is_noted_on_it() {
    advance(s(30)).await;
    for (started, delay, expected) in [(-10, s(40), s(35)), (-10, s(0), s(0)), (-700, s(40), s(0))] {
        let mut memory = memory();
        let found = Container { restart_delay: delay, ..instance(3, started, Some(-5)) };
        memory.note(&observed(&[&instance(2, -1000, Some(-999)), &found]));
        assert_eq!(memory.restart_delay("main"), expected, "started {started} with {delay:?}");
        memory.note_restart("main");
        let raised = if expected.is_zero() { s(10) } else { delay * 2 };
        assert_eq!(memory.delay("main"), raised);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_gone_without_a_trace_counts_as_ended() {
    let mut memory = memory();
    let first = instance(0, 0, Some(0));
    memory.note(&observed(&[&first]));
    for expected in [0, 10, 20, 40] {
        assert_eq!(memory.restart_delay("main"), s(expected));
        advance(s(expected)).await;
        memory.note_restart("main");
        memory.note_made("main", &format!("gone-{expected}").into());
        memory.note(&observed(&[&first]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_waits_for_the_store_or_ever_longer_or_for_the_end_of_its_instance() {
    let mut memory = memory();
    let waits: Vec<u128> = (0..10)
        .map(|_| {
            memory.note_failure("main", waiting("a"), Retry::WhenItMayWork);
            memory.retry_delay("main").as_millis()
        })
        .collect();
    assert_eq!(waits, [100, 1000, 1000, 1000, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    memory.note_failure("main", waiting("a"), Retry::WhenItMayWork);
    assert_eq!(memory.retry_delay("main"), s(10));
    memory.retry_failures();
    assert_eq!(memory.retry_delay("main"), s(0));

    memory.note_failure("main", waiting("a"), Retry::AfterEndOf("main-1".into()));
    memory.retry_failures();
    assert_eq!(memory.retry_delay("main"), s(10), "the store has nothing to do with it");
    memory.note(&observed(&[&instance(1, 0, Some(0))]));
    assert_eq!(memory.retry_delay("main"), s(0));
}

#[tokio::test(start_paused = true)]
async fn the_same_failure_is_news_again_after_ten_minutes_and_another_one_at_once() {
    let mut memory = memory();
    assert!(!memory.was_told("main", &waiting("a")));
    for _ in 0..59 {
        memory.note_failure("main", waiting("a"), Retry::WhenItMayWork);
        advance(s(10)).await;
        assert!(memory.was_told("main", &waiting("a")));
        assert!(!memory.was_told("main", &waiting("b")));
    }
    advance(s(10)).await;
    assert!(!memory.was_told("main", &waiting("a")));
    memory.note_failure("main", waiting("a"), Retry::WhenItMayWork);
    assert!(memory.was_told("main", &waiting("a")));
    memory.note_success("main");
    assert!(!memory.was_told("main", &waiting("a")));
}
