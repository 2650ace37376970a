//! Telling: the pod's status to the board, its readiness to the agent.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{Worker, tell};
use crate::cri::log_path::LogOwner;
use crate::cri::translate::cgroup_parent::CgroupName;
use crate::cri::translate::host::Host;
use crate::cri::{ContainerId, translate};
use crate::pod::context::News;
use crate::pod::observed::ContainerState;
use crate::pod::plan;
use crate::pod::requests::{self, runtime_handler};
use crate::pod::status::{self, Ending, SandboxNeed, Waiting};
use crate::probe;

/// No probe's delay and no DaemonSet's `minReadySeconds` asks for a longer past than this.
const LONGEST_AGO: Duration = Duration::from_secs(86_400);

impl Worker {
    /// Tells the probes what runs now.
    pub(super) fn sync_probes(&mut self) {
        self.date_containers();
        let phase = if self.is_to_run() { probe::PodPhase::Live } else { probe::PodPhase::Terminating };
        let views: Vec<probe::ContainerView<'_>> = super::container::by_name(&self.record.pod)
            .into_keys()
            .map(|name| {
                let state = self.probe_state(name);
                let before = self.record.standing.containers.get(name);
                let id = state.running();
                let had_started = before
                    .is_some_and(|before| before.started && id.is_some_and(|id| id.as_str() == before.id));
                probe::ContainerView { name, state, had_started }
            })
            .collect();
        let ip = self.pod_ips().first().copied();
        self.probes.sync(&self.record.pod, &views, ip, phase);
    }

    /// Dates each running container once: the runtime's wall time is only trusted when the container is first seen.
    fn date_containers(&mut self) {
        let (clock, now) = (self.context.clock, tokio::time::Instant::now().into_std());
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

    /// Puts the pod with its status on the board, and tells the agent when its readiness changes. A pod that was not looked at yet is not
    /// told of: it may well run.
    pub(super) fn report(&mut self) {
        if self.listed.is_some() || (self.ready.is_none() && self.unsure.everything) {
            return;
        }
        self.note_addresses();
        let status = match self.kept_status() {
            Some(kept) => kept,
            None => self.status_now(),
        };
        let ready_since = ready_since(status.conditions.as_deref().unwrap_or_default());
        self.show(status);
        if self.ready != Some(ready_since.is_some()) {
            let found = self.ready.replace(ready_since.is_some()).is_none();
            let ago = |since| if found { self.context.clock.ago(since, LONGEST_AGO) } else { Duration::ZERO };
            let news = ready_since.map_or(News::NotReady, |since| News::Ready { since: ago(since) });
            tell(&self.context, self.uid(), news);
        }
    }

    /// The pod's status as it follows from what is observed.
    pub(super) fn status_now(&self) -> PodStatus {
        let results = self.probes.results();
        let waiting = self.waiting();
        let needs_sandbox = plan::needs_sandbox(&self.record.pod, &self.observed);
        let host = self.context.host();
        let failure = self.record.failure.as_ref().map(|note| &note.failure);
        status::derive(status::Inputs {
            pod: &self.record.pod,
            observed: &self.observed,
            probes: &self.verdicts(&results),
            waiting: &waiting,
            vanished: &self.vanished,
            sandbox: if needs_sandbox { SandboxNeed::Missing } else { SandboxNeed::Usable },
            ending: if self.is_to_run() { Ending::No } else { Ending::Yes },
            failure,
            disruption: self.record.ending.as_ref().and_then(|ending| ending.disruption),
            qos_class: self.qos_class.as_str(),
            previous: self.told.as_ref().map_or(&self.standing_conditions(), |told| &told.conditions),
            recursive_read_only: Some(self.mounts_recursively_read_only(&host)),
            host_ips: &host.node_ips,
            pod_ips: &self.shown_ips,
            start_time: self.record.created,
            now: self.context.clock.wall(),
        })
    }

    fn mounts_recursively_read_only(&self, host: &Host) -> bool {
        // One whose handler is not known has no sandbox, and says why.
        runtime_handler(&self.record.pod, &self.objects.borrow())
            .is_ok_and(|handler| host.mounts_recursively_read_only(&handler))
    }

    /// Why each container that should run waits.
    fn waiting(&self) -> BTreeMap<String, Waiting> {
        let mut waiting = self.memory.waiting(&self.backing_off, &self.full_name);
        if let Some(pulling) = &self.pulling {
            let reason = status::waiting_reason(&self.record.pod).to_owned();
            waiting.insert(pulling.container.clone(), Waiting { reason, message: pulling.message() });
        }
        waiting
    }

    fn show(&mut self, status: PodStatus) {
        let ending = self.record.ending.as_ref().map(|ending| (ending.at, self.grace_in_force()));
        let digest = digest(&status, ending);
        if self.told.as_ref().is_none_or(|told| told.digest != digest) {
            let conditions = status.conditions.clone().unwrap_or_default();
            self.told = Some(Told { conditions, digest });
            let mut pod = Pod::clone(&self.record.pod);
            if let Some((told_at, grace)) = ending {
                // As the API has it: by then it should be gone.
                pod.metadata.deletion_timestamp = Some(Time(told_at.checked_add(grace).unwrap_or(told_at)));
                pod.metadata.deletion_grace_period_seconds = i64::try_from(grace.as_secs()).ok();
            }
            if let Some(pulling) = &self.pulling {
                pulling.note(&mut pod.metadata);
            }
            pod.status = Some(status);
            self.context.board.put_pod(pod);
        }
    }

    pub(super) fn namespace(&self) -> String {
        self.record.pod.metadata.namespace.clone().unwrap_or_default()
    }

    pub(super) fn name(&self) -> String {
        self.record.pod.metadata.name.clone().unwrap_or_default()
    }

    pub(super) fn log_dir(&self) -> PathBuf {
        LogOwner::of(&self.record.pod).directory(&self.context.host().pod_logs_dir)
    }

    pub(super) fn link_name(&self, container: &str, id: &ContainerId) -> String {
        LogOwner::of(&self.record.pod).link_name(container, id.as_str())
    }

    /// Our mark on everything that the runtime keeps for us.
    pub(super) fn marks(&self) -> BTreeMap<String, String> {
        let record = &self.record;
        let node_name = &self.context.host().node_name;
        requests::marks(node_name, &record.daemon_set, &record.revision, record.incarnation)
    }

    pub(super) fn cgroup(&self) -> String {
        let host = self.context.host();
        let cgroups = &host.cgroups;
        CgroupName::of_pod(cgroups, self.qos_class, self.uid().as_str()).path(cgroups.driver)
    }

    pub(super) fn memory_limit(&self) -> Option<u64> {
        let limits = translate::pod_cgroup_limits(&self.record.pod, &self.context.host()).ok()?;
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

/// The status that was last told, as far as it is needed again.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) conditions: Vec<PodCondition>,
    /// Tells whether the next one differs; the whole of it would take more room than all else that a worker has.
    digest: u64,
}

fn digest(status: &PodStatus, ending: Option<(Timestamp, Duration)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    ending.hash(&mut hasher);
    serde_json::to_vec(status).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

/// Since when the conditions say Ready, if they do.
pub(super) fn ready_since(conditions: &[PodCondition]) -> Option<Timestamp> {
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready.and_then(|condition| condition.last_transition_time.as_ref()).map(|time| time.0)
}
