//! The loop over a machine of the test's own, in time that passes at once.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::eviction::assessment::Observation;
use crate::eviction::local_storage::Space;
use crate::eviction::policy::Configured;
use crate::node::Threshold as Amount;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A machine on which each pod uses some of everything, and frees it when it goes.
#[derive(Debug, Default)]
struct Machine {
    /// What is left for everybody of each signal, and how that changes when images are removed.
    free: BTreeMap<Signal, u64>,
    images: u64,
    pods: BTreeMap<String, (Arc<Pod>, u64)>,
    /// Pods that never go.
    stubborn: BTreeSet<String>,
    told: Vec<String>,
    looks: Vec<u64>,
    walks: usize,
}

#[derive(Debug, Clone)]
struct World {
    machine: Arc<Mutex<Machine>>,
    begun: Instant,
}

impl World {
    fn new(free: &[(Signal, u64)]) -> Self {
        let machine = Machine { free: free.iter().copied().collect(), ..Machine::default() };
        Self { machine: Arc::new(Mutex::new(machine)), begun: Instant::now() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Machine) -> T) -> T {
        act(&mut self.machine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn pod(&self, name: &str, used: u64, spec: Value) {
        let mut whole = json!({"containers": []});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": name, "uid": name}, "spec": whole})).unwrap();
        self.with(|machine| machine.pods.insert(name.to_owned(), (Arc::new(pod), used)));
    }

    fn set_free(&self, signal: Signal, free: u64) {
        self.with(|machine| machine.free.insert(signal, free));
    }

    fn seconds(&self) -> u64 {
        self.begun.elapsed().as_secs()
    }

    fn note(&self, what: &str) {
        let line = format!("{}: {what}", self.seconds());
        self.with(|machine| {
            // What is said again and again is said once.
            let is_new = !machine.told.last().is_some_and(|last| last.ends_with(&format!(": {what}")));
            if is_new {
                machine.told.push(line);
            }
        });
    }

    fn told(&self) -> Vec<String> {
        self.with(|machine| std::mem::take(&mut machine.told))
    }
}

impl Surroundings for World {
    fn now(&self) -> Duration {
        s(1000) + self.begun.elapsed()
    }

    async fn observe(&mut self) -> Observations {
        let now = self.seconds();
        self.with(|machine| {
            machine.looks.push(now);
            let one =
                |(signal, free): (&Signal, &u64)| (*signal, Observation { available: *free, capacity: 1000 });
            machine.free.iter().map(one).collect()
        })
    }

    fn layout(&self) -> Layout {
        Layout::Shared
    }

    fn pods(&self) -> Vec<Arc<Pod>> {
        self.with(|machine| machine.pods.values().map(|(pod, _)| Arc::clone(pod)).collect())
    }

    async fn measure(&mut self, _: Signal, pods: &[Arc<Pod>]) -> Vec<PodUse> {
        let used = |pod: &Arc<Pod>| self.with(|machine| machine.pods.get(uid(pod)).map(|(_, used)| *used));
        pods.iter().map(|pod| PodUse { used: used(pod), containers: Vec::new() }).collect()
    }

    async fn walk(&mut self, pods: &[Arc<Pod>], _: Limited) -> BTreeMap<String, PodDisk> {
        self.with(|machine| machine.walks += 1);
        let disk = |pod: &Arc<Pod>| {
            let bytes = self.with(|machine| machine.pods.get(uid(pod)).map_or(0, |(_, used)| *used));
            let volumes = [("scratch".to_owned(), Space { bytes, inodes: 1 })].into();
            (uid(pod).to_owned(), PodDisk { volumes, ..PodDisk::default() })
        };
        pods.iter().map(disk).collect()
    }

    async fn reclaim(&mut self, signal: Signal) {
        self.note("images removed");
        self.with(|machine| {
            let images = std::mem::take(&mut machine.images);
            *machine.free.entry(signal).or_default() += images;
        });
    }

    fn show(&mut self, pressure: &BTreeSet<PressureKind>) {
        let names: Vec<&str> = pressure.iter().map(|kind| kind.condition()).collect();
        let what = format!("shows [{}]", names.join(" "));
        let before =
            self.with(|machine| machine.told.iter().rev().find(|line| line.contains(": shows ")).cloned());
        if !before.is_some_and(|line| line.ends_with(&what)) {
            self.note(&what);
        }
    }

    fn tell_of_threshold(&mut self, resource: Resource) {
        self.note(&format!("short of {}", resource.as_str()));
    }

    fn evict(&mut self, pod: &Pod, signal: &'static str, failure: Failure) {
        let grace = failure.grace.map(|grace| grace.as_secs());
        self.note(&format!("{} goes for {signal} in {grace:?}", uid(pod)));
        assert_eq!(failure.reason, FailureReason::Evicted);
    }

    async fn cleaned_up(&mut self, pod: &Pod) {
        sleep(s(2)).await;
        if self.with(|machine| machine.stubborn.contains(uid(pod))) {
            std::future::pending::<()>().await;
        }
        self.with(|machine| {
            if let Some((_, used)) = machine.pods.remove(uid(pod)) {
                machine.free.values_mut().for_each(|free| *free += used);
            }
        });
    }

    async fn woken(&mut self) {
        std::future::pending().await
    }
}

fn policy(configured: &Configured) -> EvictionPolicy {
    EvictionPolicy::new(configured, s(300), s(7))
}

fn hard(signal: Signal, value: u64) -> EvictionPolicy {
    policy(&Configured { hard: [(signal, Amount::Amount(value))].into(), ..Configured::default() })
}

async fn run_for(policy: &EvictionPolicy, world: &World, seconds: u64) {
    let control = Control::new(policy.clone(), world.clone());
    let _ = timeout(s(seconds), control.run()).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_with_plenty_is_looked_at_once_a_minute_and_nothing_is_said() {
    let world = World::new(&[(Signal::NodeFsAvailable, 900), (Signal::MemoryAvailable, 900)]);
    world.pod("a", 50, json!({}));
    run_for(&hard(Signal::NodeFsAvailable, 100), &world, 595).await;
    assert_eq!(world.told(), ["0: shows []"]);
    assert_eq!(world.with(|machine| (machine.looks.len(), machine.walks)), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn images_go_before_pods() {
    let world = World::new(&[(Signal::NodeFsAvailable, 90)]);
    world.with(|machine| machine.images = 300);
    world.pod("a", 50, json!({}));
    run_for(&hard(Signal::NodeFsAvailable, 100), &world, 400).await;
    assert_eq!(
        world.told(),
        ["0: shows [DiskPressure]", "0: short of ephemeral-storage", "0: images removed", "301: shows []"]
    );
}

#[tokio::test(start_paused = true)]
async fn pods_go_one_at_a_time_in_order_until_there_is_enough() {
    let world = World::new(&[(Signal::MemoryAvailable, 10)]);
    for (name, used, priority) in
        [("greedy", 50, 0), ("greedier", 60, 0), ("important", 500, 9), ("critical", 900, 2_000_000_000)]
    {
        world.pod(name, used, json!({"priority": priority}));
    }
    run_for(&hard(Signal::MemoryAvailable, 100), &world, 60).await;
    assert_eq!(
        world.told(),
        [
            "0: shows [MemoryPressure]",
            "0: short of memory",
            "0: greedier goes for memory.available in Some(1)",
            "2: short of memory",
            "2: greedy goes for memory.available in Some(1)",
        ]
    );
    // Only critical pods are left: the node suffers rather than lose them.
    world.with(|machine| machine.pods.retain(|name, _| name == "critical"));
    world.set_free(Signal::MemoryAvailable, 10);
    run_for(&hard(Signal::MemoryAvailable, 100), &world, 60).await;
    assert!(world.with(|machine| machine.pods.contains_key("critical")));
}

#[tokio::test(start_paused = true)]
async fn memory_comes_before_disk_and_each_has_its_condition() {
    let world = World::new(&[(Signal::MemoryAvailable, 10), (Signal::NodeFsAvailable, 10)]);
    world.pod("a", 500, json!({}));
    let both = Configured {
        hard: [(Signal::NodeFsAvailable, Amount::Part(0.1)), (Signal::MemoryAvailable, Amount::Part(0.1))]
            .into(),
        ..Configured::default()
    };
    run_for(&policy(&both), &world, 5).await;
    let told = world.told();
    assert_eq!(told[0], "0: shows [MemoryPressure DiskPressure]");
    assert_eq!(told[2], "0: a goes for memory.available in Some(1)");
}

#[tokio::test(start_paused = true)]
async fn a_soft_threshold_waits_for_its_grace_and_gives_the_pod_some() {
    let world = World::new(&[(Signal::MemoryAvailable, 150)]);
    world.pod("a", 500, json!({}));
    let soft = Configured {
        soft: [(Signal::MemoryAvailable, Amount::Amount(200))].into(),
        soft_grace: [(Signal::MemoryAvailable, s(45))].into(),
        ..Configured::default()
    };
    run_for(&policy(&soft), &world, 120).await;
    assert_eq!(
        world.told(),
        ["0: shows [MemoryPressure]", "50: short of memory", "50: a goes for memory.available in Some(7)"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_acted_upon_must_recover_by_its_minimum_reclaim() {
    let world = World::new(&[(Signal::MemoryAvailable, 90)]);
    for name in ["a", "b", "c"] {
        world.pod(name, 30, json!({}));
    }
    let configured = Configured {
        hard: [(Signal::MemoryAvailable, Amount::Amount(100))].into(),
        min_reclaim: [(Signal::MemoryAvailable, Amount::Amount(40))].into(),
        ..Configured::default()
    };
    run_for(&policy(&configured), &world, 60).await;
    let gone = world.told().iter().filter(|line| line.contains("goes for")).count();
    assert_eq!(gone, 2, "90 + 30 is above the threshold, but not by enough");
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_swings_about_its_threshold_makes_one_condition_and_not_many() {
    let world = World::new(&[(Signal::PidAvailable, 99)]);
    let control = Control::new(hard(Signal::PidAvailable, 100), world.clone());
    let running = tokio::spawn(control.run());
    for round in 0..60 {
        sleep(s(10)).await;
        world.set_free(Signal::PidAvailable, if round % 2 == 0 { 101 } else { 99 });
    }
    world.set_free(Signal::PidAvailable, 900);
    sleep(s(400)).await;
    running.abort();
    let shown: Vec<String> = world.told().into_iter().filter(|line| line.contains("shows")).collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].ends_with("[PIDPressure]") && shown[1].ends_with("[]"), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_go_does_not_keep_the_next_from_going() {
    let world = World::new(&[(Signal::MemoryAvailable, 10)]);
    world.pod("stuck", 900, json!({}));
    world.pod("next", 200, json!({}));
    world.with(|machine| machine.stubborn.insert("stuck".to_owned()));
    run_for(&hard(Signal::MemoryAvailable, 100), &world, 120).await;
    let gone: Vec<String> = world.told().into_iter().filter(|line| line.contains("goes for")).collect();
    assert_eq!(
        gone,
        ["0: stuck goes for memory.available in Some(1)", "30: next goes for memory.available in Some(1)"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_volume_over_its_limit_costs_the_pod_and_no_condition() {
    let limited = json!({"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "100"}}]});
    let world = World::new(&[(Signal::NodeFsAvailable, 900)]);
    world.pod("within", 100, limited.clone());
    world.pod("free", 900, json!({"volumes": [{"name": "scratch", "emptyDir": {}}]}));
    let mut critical = limited.clone();
    critical["priority"] = json!(2_000_000_000);
    world.pod("critical", 500, critical);
    let control = Control::new(hard(Signal::NodeFsAvailable, 10), world.clone());
    let running = tokio::spawn(control.run());
    sleep(s(35)).await;
    world.pod("beyond", 101, limited);
    sleep(s(20)).await;
    running.abort();
    assert_eq!(world.told(), ["0: shows []", "40: beyond goes for emptydirfs.limit in Some(1)"]);
    assert!(world.with(|machine| machine.walks) >= 5);
}

#[test]
fn the_longer_a_walk_takes_the_rarer_it_is() {
    let volumes = Limited { volumes: true, containers: false };
    let containers = Limited { volumes: true, containers: true };
    for (took, wanted, expected) in [
        (1, volumes, 10),
        (1, containers, 60),
        (10, volumes, 50),
        (30, containers, 150),
        (5_000, volumes, 300),
    ] {
        assert_eq!(rest(Duration::from_millis(took), wanted), s(expected), "{took} ms");
    }
}
