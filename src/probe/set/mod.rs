//! The running probes of one pod: owned by the pod's worker, one small task for each probe of each container.
//!
//! Level-triggered: [`ProbeSet::sync`] is handed the whole newest view of the pod, any number of times; each task sleeps until
//! its view changes or its next attempt is due, so probes that wait cost nothing but their memory. When a result in force
//! changes, the worker is notified; it then reads [`ProbeSet::results`] and syncs again. A sync that finds something changed, be it a
//! result, has the readiness of containers that are not ready asked anew. Dropping the set ends its probes.
//!
//! This is a shell: what a view or an answer means is decided in `threshold`. Rule: the kubelet's `prober_manager.go`.

mod results;
mod task;

pub use results::{ContainerResults, ProbeResults, Readiness};

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::threshold::{Outcome, Startup, Stored, Worker, WorkerView};
use super::{ContainerState, ContainerView, ExecSync, PodPhase, ProbeKind, ProbeSpec};
use crate::cri::ContainerId;
use task::{Task, TaskView};

/// Something a probe has to tell about its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeEvent {
    /// The container.
    pub container: Arc<str>,
    /// Which of its probes.
    pub kind: ProbeKind,
    /// The Event's reason; its type is Warning for both.
    pub reason: ProbeEventReason,
    /// The Event's message, as the kubelet words it.
    pub message: String,
}

/// Why a probe tells something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeEventReason {
    /// An attempt failed or could not be made.
    Unhealthy,
    /// An attempt succeeded in an odd way.
    ProbeWarning,
}

impl ProbeEventReason {
    /// Kubernetes' spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unhealthy => "Unhealthy",
            Self::ProbeWarning => "ProbeWarning",
        }
    }
}

/// Whom probes tell what they have to tell, at the time and on the task of the probe: it may neither wait nor take long.
pub trait ProbeEvents: Debug + Send + Sync {
    /// Takes note of it.
    fn tell(&self, event: ProbeEvent);
}

/// The probes of one pod.
#[derive(Debug)]
pub struct ProbeSet<E> {
    runtime: E,
    notify: Arc<Notify>,
    events: Arc<dyn ProbeEvents>,
    agent_started: Instant,
    containers: Vec<Probed>,
    tasks: JoinSet<()>,
    begun: Begun,
    /// How often something about the pod has changed that its status shows.
    changes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    NotYet,
    Yes,
}

/// A container, as last seen, and its probes in the order of [`ProbeKind::ALL`].
#[derive(Debug)]
struct Probed {
    name: Arc<str>,
    state: ContainerState,
    probes: [Option<Running>; 3],
    /// What its probes had said when the pod was last told of.
    told: [Option<Outcome>; 3],
}

/// Our ends of a probe's task.
#[derive(Debug)]
struct Running {
    view: watch::Sender<TaskView>,
    stored: SharedResult,
}

type SharedResult = Arc<Mutex<Stored>>;

fn read(stored: &SharedResult) -> Stored {
    stored.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl<E: ExecSync> ProbeSet<E> {
    /// A set without probes yet. `notify` is told when a result changes, `events` gets what is to be told about containers.
    ///
    /// `agent_started` is when this agent did: containers that ran before it are adopted, so that their probes begin spread
    /// over a period rather than all at once.
    pub fn new(
        runtime: E,
        notify: Arc<Notify>,
        events: Arc<dyn ProbeEvents>,
        agent_started: Instant,
    ) -> Self {
        Self {
            runtime,
            notify,
            events,
            agent_started,
            containers: Vec::new(),
            tasks: JoinSet::new(),
            begun: Begun::NotYet,
            changes: 0,
        }
    }

    /// Tells every probe how the pod is now.
    ///
    /// The first call begins the probes of `pod` (a pod's probes never change), and their ticks: call it before the sandbox is
    /// made, as the kubelet does. `pod_ip` is the node's for a pod on the host's network. A container that is not among
    /// `containers` is absent.
    pub fn sync(
        &mut self,
        pod: &Pod,
        containers: &[ContainerView<'_>],
        pod_ip: Option<IpAddr>,
        phase: PodPhase,
    ) {
        let now = tokio::time::Instant::now().into_std();
        if self.begun == Begun::NotYet {
            self.begun = Begun::Yes;
            self.begin(pod, containers, phase, now);
        }
        let mut has_changed = false;
        for probed in &mut self.containers {
            let newest = containers.iter().find(|view| view.name == &*probed.name);
            let state = newest.map_or_else(ContainerState::default, |view| view.state.clone());
            has_changed |= probed.note(state);
        }
        self.changes = self.changes.wrapping_add(u32::from(has_changed));
        for probed in &mut self.containers {
            let startup = if probed.has_started() { Startup::Done } else { Startup::Pending };
            let state = probed.state.clone();
            let worker = WorkerView { state, startup, phase, changes: self.changes };
            for running in probed.probes.iter().flatten() {
                running.view.send_if_modified(|view| {
                    let newest = TaskView { worker: worker.clone(), pod_ip };
                    let changed = *view != newest;
                    *view = newest;
                    changed
                });
            }
        }
    }

    /// What the probes say now.
    pub fn results(&self) -> ProbeResults {
        ProbeResults::new(self.containers.iter().map(|probed| {
            let stored =
                probed.probes.each_ref().map(|probe| probe.as_ref().map(|probe| read(&probe.stored)));
            ContainerResults::new(Arc::clone(&probed.name), probed.state.clone(), self.agent_started, stored)
        }))
    }

    fn begin(&mut self, pod: &Pod, views: &[ContainerView<'_>], phase: PodPhase, now: Instant) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let spec = pod.spec.as_ref();
        let sidecars = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
        let sidecars = sidecars.iter().filter(|init| init.restart_policy.as_deref() == Some("Always"));
        let regular = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        for container in sidecars.chain(regular) {
            let name: Arc<str> = container.name.as_str().into();
            let view = views.iter().find(|view| view.name == container.name);
            let state = view.map(|view| &view.state);
            let had_started = view.filter(|view| view.had_started).and_then(|view| view.state.running());
            let probes = ProbeKind::ALL.map(|kind| {
                if phase == PodPhase::Terminating && kind != ProbeKind::Readiness {
                    return None;
                }
                let spec = ProbeSpec::of(kind, container)?;
                let first_tick = now + self.stagger(&spec, uid, container, state, now);
                let had_started = had_started.filter(|_| kind == ProbeKind::Startup);
                Some(self.spawn(spec, Arc::clone(&name), first_tick, had_started))
            });
            let (state, told) = (ContainerState::default(), [None; 3]);
            self.containers.push(Probed { name, state, probes, told });
        }
    }

    /// How much later than now a probe of an adopted container begins.
    fn stagger(
        &self,
        spec: &ProbeSpec,
        pod_uid: &str,
        container: &Container,
        state: Option<&ContainerState>,
        now: Instant,
    ) -> Duration {
        let adopted =
            matches!(state, Some(ContainerState::Running { since, .. }) if *since < self.agent_started);
        if !adopted || now.saturating_duration_since(self.agent_started) >= spec.period {
            return Duration::ZERO;
        }
        let mut hasher = DefaultHasher::new();
        (pod_uid, &container.name, spec.kind).hash(&mut hasher);
        let millis = u64::try_from(spec.period.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(hasher.finish() % millis)
    }

    fn spawn(
        &mut self,
        spec: ProbeSpec,
        container: Arc<str>,
        first_tick: Instant,
        had_started: Option<&ContainerId>,
    ) -> Running {
        let (view, views) = watch::channel(TaskView::default());
        let worker = Worker::new(&spec, first_tick, self.agent_started, had_started);
        // At once, as it is not to be asked: the container's other probes may run.
        let stored = SharedResult::new(worker.stored().into());
        let task = Task {
            worker,
            spec,
            container,
            views,
            stored: Arc::clone(&stored),
            runtime: self.runtime.clone(),
            notify: Arc::clone(&self.notify),
            events: Arc::clone(&self.events),
        };
        self.tasks.spawn(task.run());
        Running { view, stored }
    }
}

impl Probed {
    /// Notes how the container is. Whether that is another way than before.
    fn note(&mut self, state: ContainerState) -> bool {
        let said = self.probes.each_ref().map(|probe| {
            let (_, outcome) = read(&probe.as_ref()?.stored)?;
            Some(outcome)
        });
        let has_changed = (&state, said) != (&self.state, self.told);
        (self.state, self.told) = (state, said);
        has_changed
    }

    /// Runs, and its startup probe, if any, has succeeded.
    fn has_started(&self) -> bool {
        let Some(id) = self.state.running() else { return false };
        let [startup, _, _] = &self.probes;
        startup.as_ref().is_none_or(|startup| results::is_success(&read(&startup.stored), id))
    }
}

#[cfg(test)]
mod tests;
