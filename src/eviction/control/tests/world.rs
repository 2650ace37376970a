//! A machine of the test's own, on which each pod uses some of everything.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::*;
use super::s;
use crate::eviction::Signal;
use crate::eviction::assessment::Observation;
use crate::eviction::local_storage::{Layout, PodDisk, Space};
use crate::node::PressureKind;

/// A machine on which each pod uses some of everything, and frees it when it goes.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// What is left for everybody of each signal, and how that changes when images are removed.
    pub(super) free: BTreeMap<Signal, u64>,
    pub(super) images: u64,
    pub(super) pods: BTreeMap<String, (Arc<Pod>, u64)>,
    /// Pods that never go.
    pub(super) stubborn: BTreeSet<String>,
    told: Vec<String>,
    pub(super) looks: Vec<u64>,
    pub(super) walks: usize,
    /// How long a walk takes.
    pub(super) walk_takes: Duration,
    /// The runtime does not answer.
    pub(super) is_blind: bool,
    /// How long pods take to end that don't end at once.
    pub(super) ends_within: BTreeMap<String, Duration>,
    pub(super) messages: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    machine: Arc<Mutex<Machine>>,
    begun: Instant,
}

impl World {
    pub(super) fn new(free: &[(Signal, u64)]) -> Self {
        let machine = Machine { free: free.iter().copied().collect(), ..Machine::default() };
        Self { machine: Arc::new(Mutex::new(machine)), begun: Instant::now() }
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Machine) -> T) -> T {
        act(&mut self.machine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn pod(&self, name: &str, used: u64, spec: Value) {
        let mut whole = json!({"containers": []});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": name, "uid": name}, "spec": whole})).unwrap();
        self.with(|machine| machine.pods.insert(name.to_owned(), (Arc::new(pod), used)));
    }

    pub(super) fn set_free(&self, signal: Signal, free: u64) {
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

    pub(super) fn told(&self) -> Vec<String> {
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

    async fn measure(&mut self, _: Resource, pods: &[Arc<Pod>]) -> Option<Vec<PodUse>> {
        if self.with(|machine| machine.is_blind) {
            return None;
        }
        let used = |pod: &Arc<Pod>| self.with(|machine| machine.pods.get(uid(pod)).map(|(_, used)| *used));
        Some(pods.iter().map(|pod| PodUse { used: used(pod), containers: Vec::new() }).collect())
    }

    fn walk(&self, pods: Vec<Arc<Pod>>, _: Limited) -> BoxFuture<'static, Option<Disks>> {
        let world = self.clone();
        let disk = move |pod: &Arc<Pod>| {
            let bytes = world.with(|machine| machine.pods.get(uid(pod)).map_or(0, |(_, used)| *used));
            let volumes = [("scratch".to_owned(), Space { bytes, inodes: 1 })].into();
            (uid(pod).to_owned(), PodDisk { volumes, ..PodDisk::default() })
        };
        let (takes, is_blind) = self.with(|machine| {
            machine.walks += 1;
            (machine.walk_takes, machine.is_blind)
        });
        Box::pin(async move {
            sleep(takes).await;
            (!is_blind).then(|| pods.iter().map(disk).collect())
        })
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

    fn evict(&mut self, pod: &Pod, signal: &'static str, failure: Failure, _: BTreeMap<String, String>) {
        let grace = failure.grace.map(|grace| grace.as_secs());
        self.note(&format!("{} goes for {signal} in {grace:?}", uid(pod)));
        assert_eq!(failure.reason, FailureReason::Evicted);
        self.with(|machine| machine.messages.push(failure.message));
    }

    async fn ended(&mut self, pod: &Pod) {
        let (is_stubborn, takes) = self.with(|machine| {
            (machine.stubborn.contains(uid(pod)), machine.ends_within.get(uid(pod)).copied())
        });
        if is_stubborn {
            std::future::pending::<()>().await;
        }
        sleep(takes.unwrap_or_default()).await;
    }

    fn tell_of_delay(&mut self, pod: &Pod) {
        self.note(&format!("{} takes long", uid(pod)));
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
