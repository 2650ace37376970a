//! What the probes say of each container; and until they say anything to a new agent, what they said to the one before.
//!
//! The latter is on disk, with the pod's record ([`Standing`]). It is written a while after it has changed: what changes back by then, as a
//! container that crashes or a probe that flaps, costs nothing. An agent that is killed in between leaves what was true before. Rule: the
//! kubelet's `ChangeContainerStatusOnKubeletRestart`, off since 1.35.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::PodCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tracing::warn;

use super::Worker;
use crate::cri::ContainerId;
use crate::error_chain::error_chain;
use crate::pod::plan::{self, ProbeVerdict};
use crate::pod::record::{ConditionStanding, ContainerStanding, Standing};
use crate::pod::status::ProbeStates;
use crate::probe::{ContainerResults, Outcome, ProbeKind, ProbeResults, Readiness};

/// How long a change must last to be written.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// What the probes say, in the terms of the plan and of the status.
pub(super) struct Verdicts<'a> {
    results: &'a ProbeResults,
    standing: &'a Standing,
}

impl Verdicts<'_> {
    /// What was last known of an instance that no probe has asked yet.
    fn before(&self, name: &str, id: &ContainerId) -> Option<&ContainerStanding> {
        let results = self.results.of(name)?;
        let before = self.standing.containers.get(name).filter(|before| before.id == id.as_str())?;
        (results.readiness() == Readiness::NotYetKnown).then_some(before)
    }

    /// What a probe says about this instance; what it said of an earlier one doesn't count.
    fn verdict(&self, name: &str, id: &ContainerId, kind: ProbeKind) -> Option<ProbeVerdict> {
        let results = self.results.of(name)?;
        if !results.has(kind) {
            return None;
        }
        Some(match results.result(kind).filter(|(about, _)| *about == id) {
            None => ProbeVerdict::Unknown,
            Some((_, Outcome::Success)) => ProbeVerdict::Success,
            Some((_, Outcome::Failure)) => ProbeVerdict::Failure,
        })
    }
}

impl plan::ProbeVerdicts for Verdicts<'_> {
    fn startup(&self, name: &str, id: &ContainerId) -> Option<ProbeVerdict> {
        let verdict = self.verdict(name, id, ProbeKind::Startup)?;
        let had_started = || self.before(name, id).is_some_and(|before| before.started);
        Some(if verdict == ProbeVerdict::Unknown && had_started() { ProbeVerdict::Success } else { verdict })
    }

    fn liveness(&self, name: &str, id: &ContainerId) -> Option<ProbeVerdict> {
        self.verdict(name, id, ProbeKind::Liveness)
    }
}

impl ProbeStates for Verdicts<'_> {
    fn is_started(&self, name: &str, id: &ContainerId) -> bool {
        self.results.of(name).is_some_and(ContainerResults::started)
            || self.before(name, id).is_some_and(|before| before.started)
    }

    fn is_ready(&self, name: &str, id: &ContainerId) -> bool {
        self.results.of(name).is_some_and(|results| results.readiness() == Readiness::Ready)
            || self.before(name, id).is_some_and(|before| before.ready)
    }
}

impl Worker {
    pub(super) fn verdicts<'a>(&'a self, results: &'a ProbeResults) -> Verdicts<'a> {
        Verdicts { results, standing: &self.record.standing }
    }

    /// What a new agent starts from: since when the pod's conditions are as they are.
    pub(super) fn standing_conditions(&self) -> Vec<PodCondition> {
        let conditions = self.record.standing.conditions.iter().map(|known| PodCondition {
            type_: known.type_.clone(),
            status: known.status.clone(),
            last_transition_time: Some(Time(known.since)),
            ..PodCondition::default()
        });
        conditions.collect()
    }

    /// Writes down how the pod is, if that is another than what was written and has lasted; says when to come back for it otherwise.
    pub(super) fn note_standing(&mut self) -> Option<Duration> {
        let standing = self.standing()?;
        if standing == self.record.standing {
            self.unwritten = None;
            return None;
        }
        let now = self.context.clock.monotonic();
        let due = match self.unwritten.as_deref() {
            Some((unwritten, due)) if *unwritten == standing => *due,
            _ => now + SETTLED_AFTER,
        };
        if now < due {
            self.unwritten = Some(Box::new((standing, due)));
            return Some(due.saturating_sub(now));
        }
        self.write(standing);
        None
    }

    /// Writes it down at once: the agent is going down.
    pub(super) fn note_standing_now(&mut self) {
        match self.standing() {
            Some(standing) if standing != self.record.standing && self.is_to_run() => self.write(standing),
            _ => {}
        }
    }

    /// Whether nothing has told the pod to end so far.
    pub(super) fn is_to_run(&self) -> bool {
        self.record.ending.is_none() && self.record.failure.is_none()
    }

    fn write(&mut self, standing: Standing) {
        self.unwritten = None;
        self.record.standing = standing;
        if let Err(error) = self.context.records.write(&self.record) {
            warn!(
                error = error_chain(&error),
                "cannot note how the pod is; a new agent has to probe it first"
            );
        }
    }

    /// How the pod is now, if that is known.
    fn standing(&self) -> Option<Standing> {
        let told = self.told.as_ref()?;
        let results = self.probes.results();
        let verdicts = self.verdicts(&results);
        let mut containers = BTreeMap::new();
        for known in results.iter() {
            let has_say = known.has(ProbeKind::Startup) || known.has(ProbeKind::Readiness);
            let name = known.container();
            let Some(running) = self.observed.newest(name).filter(|record| has_say && record.is_running())
            else {
                continue;
            };
            let (started, ready) =
                (verdicts.is_started(name, &running.id), verdicts.is_ready(name, &running.id));
            if started || ready {
                let id = running.id.to_string();
                containers.insert(name.to_owned(), ContainerStanding { id, started, ready });
            }
        }
        let conditions = told.conditions.iter().filter_map(|condition| {
            Some(ConditionStanding {
                type_: condition.type_.clone(),
                status: condition.status.clone(),
                since: condition.last_transition_time.as_ref()?.0,
            })
        });
        Some(Standing { conditions: conditions.collect(), containers })
    }
}
