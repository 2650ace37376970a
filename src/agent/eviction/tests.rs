use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use super::*;
use crate::cgroup::Version;
use crate::cri::fake::FakeRuntime;
use crate::eviction::control::Surroundings as _;
use crate::pod::failure::{FailureReason, Fault};
use crate::pod::testing::context;

/// A machine whose runtime says nothing of what containers use.
struct Bench {
    machine: Machine,
    demands: mpsc::UnboundedReceiver<Demand>,
    /// Whoever removes images, and does not come to it.
    _images: mpsc::Receiver<ImagesAsked>,
    _runtime: FakeRuntime,
    _dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let (runtime, dir) = (FakeRuntime::start(), tempfile::tempdir().unwrap());
        let context = Arc::new(context(&runtime, dir.path(), mpsc::unbounded_channel().0));
        let meter = Meter {
            proc: dir.path().join("proc"),
            cgroups: dir.path().to_owned(),
            version: Version::V2,
            all_pods: "/kubepods".to_owned(),
            memory_capacity: 1000,
            memory_of_pods: 1000,
            root_dir: dir.path().to_owned(),
            image_dir: None,
            layer_dir: None,
        };
        let (demands, demands_seen) = mpsc::unbounded_channel();
        let (images, images_seen) = mpsc::channel(1);
        let machine = Machine {
            pressure: watch::channel(Pressure::none(context.clock.wall_seconds())).0,
            context,
            meter,
            file_systems: FileSystems::default(),
            stalls: Stalls::of_memory(),
            limited: Arc::default(),
            demands,
            images,
        };
        Self { machine, demands: demands_seen, _images: images_seen, _runtime: runtime, _dir: dir }
    }
}

fn pod() -> Arc<Pod> {
    let pod = json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "u-1"},
        "spec": {"containers": [{"name": "main"}], "volumes": [{"name": "scratch", "emptyDir": {}}]},
        "status": {"phase": "Running"},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

#[tokio::test]
async fn what_the_runtime_does_not_tell_is_not_known_rather_than_nothing() {
    let mut bench = Bench::new();
    let pods = [pod()];
    for resource in [Resource::Memory, Resource::Pids] {
        assert_eq!(bench.machine.measure(resource, &pods).await, None);
    }
    let all = Limited { volumes: true, containers: true };
    assert_eq!(bench.machine.walk(pods.to_vec(), all).await, None);
    let volumes = Limited { volumes: true, containers: false };
    let walked = bench.machine.walk(pods.to_vec(), volumes).await.expect("what is in volumes is known");
    assert_eq!(walked["u-1"].volumes.keys().collect::<Vec<_>>(), ["scratch"]);
    assert!(bench.machine.observe().await.contains_key(&Signal::NodeFsAvailable));
}

#[tokio::test(start_paused = true)]
async fn images_are_not_waited_for_longer_than_a_minute_whoever_does_not_answer() {
    let mut bench = Bench::new();
    for round in 0..3 {
        let begun = Instant::now();
        let reclaimed = bench.machine.reclaim(Signal::ImageFsAvailable);
        timeout(IMAGES_PATIENCE * 2, reclaimed).await.expect("an end");
        assert_eq!(begun.elapsed(), IMAGES_PATIENCE, "{round}");
        assert!(matches!(bench.demands.try_recv(), Ok(Demand::DropDead)));
    }
}

#[tokio::test]
async fn an_eviction_is_told_with_what_machines_read_of_it_and_so_is_one_that_takes_too_long() {
    let mut bench = Bench::new();
    let failure = Failure {
        reason: FailureReason::Evicted,
        message: "because".to_owned(),
        grace: None,
        fault: Fault::Node,
    };
    let annotations: BTreeMap<_, _> = [("starved_resource".to_owned(), "memory".to_owned())].into();
    bench.machine.evict(&pod(), "memory.available", failure.clone(), annotations.clone());
    bench.machine.tell_of_delay(&pod());
    let events = bench.machine.context.board.events();
    let of = |reason: &str| events.iter().find(|event| event.reason.as_deref() == Some(reason)).unwrap();
    assert_eq!(of("Evicted").message.as_deref(), Some("because"));
    assert_eq!(of("Evicted").metadata.annotations, Some(annotations));
    let delay = of("ExceededGracePeriod");
    assert_eq!(delay.type_.as_deref(), Some("Warning"));
    assert_eq!(
        delay.message.as_deref(),
        Some("Container runtime did not kill the pod within specified grace period.")
    );
    let Ok(Demand::Fail { uid, failure: told }) = bench.demands.try_recv() else { panic!("it is to fail") };
    assert_eq!((uid.as_str(), told), ("u-1", failure));
}
