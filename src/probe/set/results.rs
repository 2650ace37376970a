//! What a pod's probes say about its containers.
//!
//! Pure. Rule: `UpdatePodStatus` in the kubelet's `prober_manager.go`, with the rule of kubelets since 1.35 for containers that an
//! agent finds running: what was true of them stays true until they were probed.

use std::sync::Arc;
use std::time::Instant;

use crate::cri::ContainerId;
use crate::probe::threshold::{Outcome, Stored};
use crate::probe::{ContainerState, ProbeKind};

/// The results of every container of a pod that can have probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResults {
    containers: Box<[ContainerResults]>,
}

/// The results of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerResults {
    container: Arc<str>,
    state: ContainerState,
    agent_started: Instant,
    probes: [Option<Stored>; 3],
}

/// Is a container ready, as far as its probes say?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// It is.
    Ready,
    /// It is not.
    NotReady,
    /// It ran before this agent did and was not probed yet: what its status said before still holds.
    NotYetKnown,
}

impl ProbeResults {
    pub(super) fn new(containers: impl Iterator<Item = ContainerResults>) -> Self {
        Self { containers: containers.collect() }
    }

    /// The results of a container; `None` for one that can have no probes (a plain init container) or before the first sync.
    pub fn of(&self, container: &str) -> Option<&ContainerResults> {
        self.containers.iter().find(|results| &*results.container == container)
    }

    /// Every container.
    pub fn iter(&self) -> impl Iterator<Item = &ContainerResults> {
        self.containers.iter()
    }
}

impl ContainerResults {
    pub(super) fn new(
        container: Arc<str>,
        state: ContainerState,
        agent_started: Instant,
        probes: [Option<Stored>; 3],
    ) -> Self {
        Self { container, state, agent_started, probes }
    }

    /// The container's name.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// Whether the container has a probe of this kind.
    pub fn has(&self, kind: ProbeKind) -> bool {
        self.probe(kind).is_some()
    }

    /// The result in force of one of its probes, and the instance it is about. `None`: no probe, or no result yet.
    pub fn result(&self, kind: ProbeKind) -> Option<(&ContainerId, Outcome)> {
        self.probe(kind)?.as_ref().map(|(id, outcome)| (id, *outcome))
    }

    /// Does it run, and has its startup probe, if any, succeeded? `status.started`.
    pub fn started(&self) -> bool {
        let Some(id) = self.state.running() else { return false };
        self.probe(ProbeKind::Startup).is_none_or(|stored| is_success(stored, id))
    }

    /// Is it ready? `status.ready`.
    pub fn readiness(&self) -> Readiness {
        let ContainerState::Running { id, since } = &self.state else { return Readiness::NotReady };
        let awaits = |kind| self.probe(kind).is_some_and(|stored| !is_about(stored, id));
        let ready = self.probe(ProbeKind::Readiness).is_none_or(|stored| is_success(stored, id));
        if self.started() && ready {
            Readiness::Ready
        } else if *since < self.agent_started
            && (awaits(ProbeKind::Startup) || self.started() && awaits(ProbeKind::Readiness))
        {
            Readiness::NotYetKnown
        } else {
            Readiness::NotReady
        }
    }

    /// The instance that has to be stopped and started anew, and the probe that says so.
    pub fn condemned(&self) -> Option<(&ContainerId, ProbeKind)> {
        let id = self.state.running()?;
        let failed = |kind: &ProbeKind| self.result(*kind) == Some((id, Outcome::Failure));
        [ProbeKind::Liveness, ProbeKind::Startup].into_iter().find(failed).map(|kind| (id, kind))
    }

    fn probe(&self, kind: ProbeKind) -> Option<&Stored> {
        let index = ProbeKind::ALL.iter().position(|known| *known == kind)?;
        self.probes.get(index)?.as_ref()
    }
}

pub(super) fn is_success(stored: &Stored, id: &ContainerId) -> bool {
    matches!(stored, Some((about, Outcome::Success)) if about == id)
}

fn is_about(stored: &Stored, id: &ContainerId) -> bool {
    matches!(stored, Some((about, _)) if about == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn results(
        state: ContainerState,
        agent_started: Instant,
        probes: [Option<Stored>; 3],
    ) -> ContainerResults {
        ContainerResults::new("c".into(), state, agent_started, probes)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape that the callers take")]
    fn of(id: &str, outcome: Outcome) -> Option<Stored> {
        Some(Some((id.into(), outcome)))
    }

    #[test]
    fn started_and_ready_follow_from_state_and_results() {
        use Outcome::{Failure, Success};
        let now = Instant::now();
        let running = ContainerState::Running { id: "b".into(), since: now };
        let ended = ContainerState::Terminated { id: "b".into() };
        for (state, startup, readiness, started, ready) in [
            (&running, None, None, true, Readiness::Ready),
            (&ended, None, None, false, Readiness::NotReady),
            (&running, Some(None), None, false, Readiness::NotReady),
            (&running, of("a", Success), None, false, Readiness::NotReady),
            (&running, of("b", Success), None, true, Readiness::Ready),
            (&running, of("b", Failure), None, false, Readiness::NotReady),
            (&running, None, Some(None), true, Readiness::NotReady),
            (&running, None, of("b", Failure), true, Readiness::NotReady),
            (&running, None, of("a", Success), true, Readiness::NotReady),
            (&running, None, of("b", Success), true, Readiness::Ready),
            (&running, Some(None), of("b", Success), false, Readiness::NotReady),
            (&ended, None, of("b", Success), false, Readiness::NotReady),
        ] {
            let results = results(state.clone(), now, [startup, None, readiness]);
            assert_eq!((results.started(), results.readiness()), (started, ready), "{results:?}");
        }
    }

    #[test]
    fn an_adopted_container_is_what_it_was_until_it_was_probed() {
        let since = Instant::now();
        let agent_started = since + Duration::from_secs(60);
        let state = ContainerState::Running { id: "a".into(), since };
        for (probes, readiness) in [
            ([None, None, Some(None)], Readiness::NotYetKnown),
            ([Some(None), None, Some(None)], Readiness::NotYetKnown),
            ([of("a", Outcome::Success), None, Some(None)], Readiness::NotYetKnown),
            ([of("a", Outcome::Failure), None, Some(None)], Readiness::NotReady),
            ([None, None, of("a", Outcome::Failure)], Readiness::NotReady),
            ([None, Some(None), None], Readiness::Ready),
        ] {
            assert_eq!(results(state.clone(), agent_started, probes).readiness(), readiness);
        }
    }

    #[test]
    fn a_failed_liveness_or_startup_probe_condemns_the_instance_it_is_about() {
        let now = Instant::now();
        let state = ContainerState::Running { id: "b".into(), since: now };
        let failed = |id| of(id, Outcome::Failure);
        for (probes, condemned) in [
            ([None, failed("b"), None], Some(ProbeKind::Liveness)),
            ([failed("b"), None, None], Some(ProbeKind::Startup)),
            ([None, failed("a"), None], None),
            ([None, None, failed("b")], None),
        ] {
            let results = results(state.clone(), now, probes);
            assert_eq!(results.condemned().map(|(_, kind)| kind), condemned);
        }
    }
}
