//! Laws over whole histories: whatever happens to a DaemonSet's pods, and whenever, no more of them are on the node and no fewer are
//! available than its strategy allows; and once nothing happens any more, the right one runs.

use proptest::prelude::*;

use super::*;
use crate::placement::Verdict;

/// Something that happens between two rounds.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Time(u8),
    NewTemplate,
    Ready(u8),
    Unready(u8),
    Fails(u8),
    /// A pod that was told to stop is gone.
    Gone(u8),
    DeletedByHand(u8),
    /// The node's labels or taints change.
    Placed(Placement),
    /// The back-off after failures begins or is over.
    FailedMayGo(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placement {
    Runs,
    MayStay,
    MustGo,
}

fn happening() -> impl Strategy<Value = Happening> {
    let pod = 0..4_u8;
    prop_oneof![
        3 => (1..6_u8).prop_map(Happening::Time),
        2 => Just(Happening::NewTemplate),
        4 => pod.clone().prop_map(Happening::Ready),
        1 => pod.clone().prop_map(Happening::Unready),
        1 => pod.clone().prop_map(Happening::Fails),
        3 => pod.clone().prop_map(Happening::Gone),
        1 => pod.prop_map(Happening::DeletedByHand),
        1 => prop_oneof![Just(Placement::Runs), Just(Placement::MayStay), Just(Placement::MustGo)]
            .prop_map(Happening::Placed),
        1 => any::<bool>().prop_map(Happening::FailedMayGo),
    ]
}

#[derive(Debug)]
struct Pod {
    template: u32,
    made: u64,
    ready_since: Option<u64>,
    life: Life,
}

#[derive(Debug)]
struct World {
    strategy: UpdateStrategy,
    min_ready: u64,
    now: u64,
    made: u64,
    template: u32,
    placement: Placement,
    failed_may_go: bool,
    pods: Vec<Pod>,
}

impl World {
    fn new(strategy: UpdateStrategy, min_ready: u64) -> Self {
        let (placement, pods) = (Placement::Runs, Vec::new());
        Self { strategy, min_ready, now: 0, made: 0, template: 0, placement, failed_may_go: true, pods }
    }

    fn facts(&self) -> Vec<PodFacts> {
        let facts = |pod: &Pod| PodFacts {
            uid: uid(pod),
            generation: if pod.template == self.template { Generation::Current } else { Generation::Old },
            ready_for: pod.ready_since.map(|since| Duration::from_secs(self.now - since)),
            life: pod.life,
            order: pod.made,
        };
        self.pods.iter().map(facts).collect()
    }

    fn pod(&mut self, index: u8) -> Option<&mut Pod> {
        let count = self.pods.len().max(1);
        self.pods.get_mut(usize::from(index) % count)
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now;
        match happening {
            Happening::Time(seconds) => self.now += u64::from(seconds),
            Happening::NewTemplate => self.template += 1,
            Happening::Ready(index) => {
                if let Some(pod) = self.pod(index).filter(|pod| pod.life == Life::Live) {
                    pod.ready_since.get_or_insert(now);
                }
            }
            Happening::Unready(index) => {
                if let Some(pod) = self.pod(index) {
                    pod.ready_since = None;
                }
            }
            Happening::Fails(index) => {
                if let Some(pod) = self.pod(index).filter(|pod| pod.life == Life::Live) {
                    (pod.life, pod.ready_since) = (Life::Failed, None);
                }
            }
            Happening::Gone(index) => {
                if self.pod(index).is_some_and(|pod| pod.life == Life::Ending) {
                    self.pods.remove(usize::from(index) % self.pods.len());
                }
            }
            Happening::DeletedByHand(index) => {
                if let Some(pod) = self.pod(index) {
                    pod.life = Life::Ending;
                }
            }
            Happening::Placed(placement) => self.placement = placement,
            Happening::FailedMayGo(may) => self.failed_may_go = may,
        }
    }

    /// One round: what is decided is done, and must be lawful.
    fn round(&mut self) {
        let wait = Turn::Wait { delay: Duration::from_secs(1), remaining: Duration::from_secs(1) };
        let failed = if self.failed_may_go { Turn::Now } else { wait };
        let facts = self.facts();
        let min_ready = Duration::from_secs(self.min_ready);
        let steps = decide(self.strategy, min_ready, &verdict(self.placement), &facts, failed);
        for step in steps {
            match step {
                Step::Start => {
                    assert_eq!(self.placement, Placement::Runs, "{facts:?}");
                    self.pods.push(Pod {
                        template: self.template,
                        made: self.made,
                        ready_since: None,
                        life: Life::Live,
                    });
                    self.made += 1;
                }
                Step::Stop { uid: gone, why } => {
                    let index =
                        self.pods.iter().position(|pod| uid(pod) == gone).expect("a pod that is there");
                    assert_ne!(self.pods[index].life, Life::Ending, "{facts:?}");
                    self.lawful_stop(&facts, &facts[index], why);
                    self.pods[index].life = Life::Ending;
                }
            }
        }
        let most = if self.strategy == UpdateStrategy::Surge { 2 } else { 1 };
        assert!(self.pods.len() <= most, "too many: {:?}", self.pods);
    }

    fn lawful_stop(&self, facts: &[PodFacts], stopped: &PodFacts, why: StopReason) {
        if why != StopReason::Outdated {
            return;
        }
        assert_eq!(stopped.generation, Generation::Old);
        match self.strategy {
            UpdateStrategy::OnDelete => panic!("nobody has deleted it: {facts:?}"),
            UpdateStrategy::Replace => {}
            UpdateStrategy::Surge => {
                let min_ready = Duration::from_secs(self.min_ready);
                let successor = facts.iter().find(|pod| pod.generation == Generation::Current);
                let has_successor = successor.is_some_and(|pod| is_available(pod, min_ready));
                let has_nothing_to_lose = stopped.ready_for.is_none() || self.placement != Placement::Runs;
                assert!(has_successor || has_nothing_to_lose, "fewer are available: {facts:?}");
            }
        }
    }

    /// Everything goes well for a while.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.failed_may_go = true;
            self.pods.retain(|pod| pod.life != Life::Ending);
            for pod in self.pods.iter_mut().filter(|pod| pod.life == Life::Live) {
                pod.ready_since.get_or_insert(self.now);
            }
            self.now += self.min_ready + 1;
            self.round();
        }
    }
}

fn uid(pod: &Pod) -> PodUid {
    PodUid::parse(&format!("pod-{}", pod.made)).expect("a uid")
}

fn verdict(placement: Placement) -> Verdict {
    Verdict {
        should_run: placement == Placement::Runs,
        should_continue_running: placement != Placement::MustGo,
        fits_name: true,
        affinity_match: true,
        untolerated_taint: None,
        reasons: Vec::new(),
    }
}

fn strategies() -> impl Strategy<Value = UpdateStrategy> {
    prop_oneof![Just(UpdateStrategy::Replace), Just(UpdateStrategy::Surge), Just(UpdateStrategy::OnDelete)]
}

proptest! {
    #[test]
    fn no_history_has_too_many_pods_or_too_few_available_and_each_ends_well(
        strategy in strategies(),
        min_ready in 0..8_u64,
        happenings in prop::collection::vec(happening(), 0..80),
    ) {
        let mut world = World::new(strategy, min_ready);
        world.round();
        for happening in happenings {
            world.happen(happening);
            world.round();
        }
        world.placement = Placement::Runs;
        world.settle();
        prop_assert_eq!(world.pods.len(), 1);
        let only = &world.facts()[0];
        prop_assert!(only.life == Life::Live && is_available(only, Duration::from_secs(min_ready)));
        let may_be_old = strategy == UpdateStrategy::OnDelete;
        prop_assert!(may_be_old || only.generation == Generation::Current);
        world.placement = Placement::MustGo;
        world.settle();
        prop_assert!(world.pods.is_empty());
    }
}
