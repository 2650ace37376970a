//! Telling: the pod's status to the board, its readiness to the agent, Events to whom they concern.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Worker, tell};
use crate::board::{EventDraft, EventKind, reference_to, reference_to_container};
use crate::cri::log_path::LogOwner;
use crate::cri::translate::cgroup_parent::CgroupName;
use crate::cri::{ContainerId, translate};
use crate::pod::MARK;
use crate::pod::context::{News, PodContext};
use crate::pod::observed::ContainerState;
use crate::pod::plan::{self, ProbeVerdict};
use crate::pod::status::{self, Ending, ProbeStates, SandboxNeed};
use crate::probe::{self, ContainerResults, Outcome, ProbeEvent, ProbeKind, ProbeResults, Readiness};

/// No probe's delay asks for a longer past than this.
const LONGEST_AGO: Duration = Duration::from_secs(86_400);

/// What the probes say, in the terms of the plan and of the status.
pub(super) struct Verdicts<'a>(pub(super) &'a ProbeResults);

impl plan::ProbeVerdicts for Verdicts<'_> {
    fn startup(&self, name: &str, id: &ContainerId) -> Option<ProbeVerdict> {
        verdict(self.0, name, id, ProbeKind::Startup)
    }
    fn liveness(&self, name: &str, id: &ContainerId) -> Option<ProbeVerdict> {
        verdict(self.0, name, id, ProbeKind::Liveness)
    }
}

impl ProbeStates for Verdicts<'_> {
    fn is_started(&self, name: &str, _: &ContainerId) -> bool {
        self.0.of(name).is_some_and(ContainerResults::started)
    }
    fn is_ready(&self, name: &str, _: &ContainerId) -> bool {
        self.0.of(name).is_some_and(|results| results.readiness() == Readiness::Ready)
    }
}

/// What a probe says about this instance; what it said of an earlier one doesn't count.
fn verdict(results: &ProbeResults, name: &str, id: &ContainerId, kind: ProbeKind) -> Option<ProbeVerdict> {
    let results = results.of(name)?;
    if !results.has(kind) {
        return None;
    }
    Some(match results.result(kind).filter(|(about, _)| *about == id) {
        None => ProbeVerdict::Unknown,
        Some((_, Outcome::Success)) => ProbeVerdict::Success,
        Some((_, Outcome::Failure)) => ProbeVerdict::Failure,
    })
}

/// `<name>_<namespace>(<uid>)`, as messages name a pod (`pkg/kubelet/util/format`).
pub(super) fn full_name(pod: &Pod) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let metadata = &pod.metadata;
    format!("{}_{}({})", text(&metadata.name), text(&metadata.namespace), text(&metadata.uid))
}

/// Records an Event on one container of a pod.
pub(super) fn container_event(
    context: &PodContext,
    pod: &Pod,
    container: &str,
    kind: EventKind,
    reason: &str,
    message: &str,
) {
    context.board.record(EventDraft {
        regarding: reference_to_container(pod, container),
        kind,
        reason: reason.to_owned(),
        message: message.to_owned(),
        component: "kubelet",
        at: context.clock.wall(),
    });
}

impl Worker {
    /// Records an Event on the pod.
    pub(super) fn event(&self, kind: EventKind, reason: &str, message: &str) {
        self.context.board.record(EventDraft {
            regarding: reference_to(&*self.record.pod),
            kind,
            reason: reason.to_owned(),
            message: message.to_owned(),
            component: "kubelet",
            at: self.context.clock.wall(),
        });
    }

    pub(super) fn container_event(&self, container: &str, kind: EventKind, reason: &str, message: &str) {
        container_event(&self.context, &self.record.pod, container, kind, reason, message);
    }

    pub(super) fn record_probe_event(&self, event: ProbeEvent) {
        self.container_event(&event.container, EventKind::Warning, event.reason.as_str(), &event.message);
    }

    /// Tells the probes what runs now.
    pub(super) fn sync_probes(&mut self) {
        self.date_containers();
        let phase = match self.record.ending {
            None => probe::PodPhase::Live,
            Some(_) => probe::PodPhase::Terminating,
        };
        let views: Vec<probe::ContainerView<'_>> = super::stop::by_name(&self.record.pod)
            .into_keys()
            .map(|name| probe::ContainerView { name, state: self.probe_state(name) })
            .collect();
        let ip = self.pod_ips().first().copied();
        self.probes.sync(&self.record.pod, &views, ip, phase);
    }

    /// Dates each running container once: the runtime's wall time is only trusted when the container is first seen.
    fn date_containers(&mut self) {
        let (clock, now) = (self.context.clock, std::time::Instant::now());
        let mut dated = BTreeMap::new();
        for container in &self.observed.containers {
            if let ContainerState::Running { started_at } = container.state {
                let known = self.running_since.remove(&container.id);
                let since = known
                    .unwrap_or_else(|| now.checked_sub(clock.ago(started_at, LONGEST_AGO)).unwrap_or(now));
                dated.insert(container.id.clone(), since);
            }
        }
        self.running_since = dated;
    }

    fn probe_state(&self, name: &str) -> probe::ContainerState {
        let Some(record) = self.observed.newest(name) else { return probe::ContainerState::Absent };
        let id = record.id.clone();
        match &record.state {
            ContainerState::Running { .. } => match self.running_since.get(&id) {
                Some(since) => probe::ContainerState::Running { id, since: *since },
                None => probe::ContainerState::Absent,
            },
            ContainerState::Exited(_) => probe::ContainerState::Terminated { id },
            ContainerState::Created | ContainerState::Unknown => probe::ContainerState::Absent,
        }
    }

    /// Puts the pod with its status on the board, and tells the agent when its readiness changes.
    pub(super) fn report(&mut self) {
        let results = self.probes.results();
        let waiting = self.memory.waiting(&self.backing_off, &self.full_name);
        let needs_sandbox = plan::needs_sandbox(&self.record.pod, &self.observed);
        let status = status::derive(status::Inputs {
            pod: &self.record.pod,
            observed: &self.observed,
            probes: &Verdicts(&results),
            waiting: &waiting,
            sandbox: if needs_sandbox { SandboxNeed::Missing } else { SandboxNeed::Usable },
            ending: if self.record.ending.is_some() { Ending::Yes } else { Ending::No },
            qos_class: self.qos_class.as_str(),
            previous: self.status.as_ref(),
            host_ips: &self.context.host.node_ips,
            start_time: self.record.created,
            now: self.context.clock.wall(),
        });
        let ready = if is_ready(&status) { News::Ready } else { News::NotReady };
        if self.status.as_ref() != Some(&status) {
            let mut pod = Pod::clone(&self.record.pod);
            if let Some(ending) = &self.record.ending {
                pod.metadata.deletion_timestamp = Some(Time(ending.at));
                pod.metadata.deletion_grace_period_seconds =
                    pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
            }
            pod.status = Some(status.clone());
            self.context.board.put_pod(pod);
            self.status = Some(status);
        }
        if self.ready != Some(ready) {
            self.ready = Some(ready);
            tell(&self.context, self.uid(), ready);
        }
    }

    pub(super) fn container(&self, name: &str) -> Option<&Container> {
        super::stop::by_name(&self.record.pod).remove(name)
    }

    pub(super) fn pod_ips(&self) -> Vec<IpAddr> {
        translate::pod_ips::pod_ips(&self.record.pod, self.observed.pod_ips(), &self.context.host)
    }

    pub(super) fn namespace(&self) -> String {
        self.record.pod.metadata.namespace.clone().unwrap_or_default()
    }

    pub(super) fn name(&self) -> String {
        self.record.pod.metadata.name.clone().unwrap_or_default()
    }

    pub(super) fn log_dir(&self) -> PathBuf {
        let (namespace, pod) = (self.namespace(), self.name());
        let owner = LogOwner { namespace: &namespace, pod: &pod, uid: self.uid().as_str() };
        owner.directory(&self.context.host.pod_logs_dir)
    }

    pub(super) fn link_name(&self, container: &str, id: &ContainerId) -> String {
        let (namespace, pod) = (self.namespace(), self.name());
        LogOwner { namespace: &namespace, pod: &pod, uid: self.uid().as_str() }
            .link_name(container, id.as_str())
    }

    /// Our mark on everything that the runtime keeps for us.
    pub(super) fn marks(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(MARK.to_owned(), self.context.host.node_name.clone())])
    }

    pub(super) fn cgroup(&self) -> String {
        let cgroups = &self.context.host.cgroups;
        CgroupName::of_pod(cgroups, self.qos_class, self.uid().as_str()).path(cgroups.driver)
    }

    pub(super) fn memory_limit(&self) -> Option<u64> {
        let limits = translate::pod_cgroup_limits(&self.record.pod, &self.context.host).ok()?;
        limits.memory_bytes.and_then(|bytes| u64::try_from(bytes).ok())
    }

    /// Removes a container's log, its rotated parts and the link to it.
    pub(super) fn remove_log(&self, id: &ContainerId) {
        let Some(record) = self.observed.containers.iter().find(|record| record.id == *id) else { return };
        let dir = self.log_dir().join(&record.name);
        let current = format!("{}.log", record.attempt);
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_part = name.to_str().is_some_and(|name| {
                name.strip_prefix(&current).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            });
            if is_part {
                // A log that can't be removed goes with the pod's directory.
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let _ = std::fs::remove_file(self.context.container_logs_dir.join(self.link_name(&record.name, id)));
    }
}

fn is_ready(status: &PodStatus) -> bool {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
