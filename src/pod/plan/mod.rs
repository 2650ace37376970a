//! What must happen to a pod next: desired × observed × clock → actions. One pure function, [`plan`].
//!
//! ```text
//!            no usable sandbox                     every init container has ended well
//!   ┌──────────────────────────────┐             ┌───────────────────────────────────────┐
//!   ▼                              │             │                                       ▼
//! kill what runs ─► forget init ─► create ─► init containers, one by one ─► regular containers, all at once
//!                   records        sandbox   (sidecars stay and gate)       each: start · keep · kill and start again
//!                                                │                                       │
//!                                                └──► in back-off: wait until … ◄────────┘
//! ```
//!
//! The worker performs the actions in order, looks again, and asks again; a plan with no action is a pod at rest until
//! [`Plan::wake_after`]. Nothing here remembers: what must outlive a call comes in through [`Memory`]. The rules are `computePodActions`,
//! `computeInitContainerActions` and `PodSandboxChanged` of `pkg/kubelet/kuberuntime`. How a pod ends is told by [`super::grace`].

mod containers;
mod garbage;
mod init;
mod sandbox;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::observed::Observed;
use crate::cri::{ContainerId, SandboxId};

/// What the plan is made from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The pod as it should be.
    pub pod: &'a Pod,
    /// The hash of each container's definition (`io.kubernetes.container.hash`), by name.
    pub hashes: &'a BTreeMap<String, String>,
    /// What the runtime says.
    pub observed: &'a Observed,
    /// What the probes say.
    pub probes: &'a dyn ProbeVerdicts,
    /// What was tried before and when it may be tried again.
    pub memory: &'a dyn Memory,
    /// What becomes of dead containers that are only kept to tell of them.
    pub spare: Spare,
}

/// What becomes of the last dead container of a name whose successor runs: it is the successor's last state, and nothing else needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spare {
    /// It stays.
    Kept,
    /// It goes: the disk is short.
    Dropped,
}

/// What the probes of a container say about one instance of it.
pub trait ProbeVerdicts {
    /// Whether the startup probe holds the container back: `None` without one.
    fn startup(&self, name: &str, id: &ContainerId) -> Option<ProbeVerdict>;
    /// What the liveness probe says: `None` without one.
    fn liveness(&self, name: &str, id: &ContainerId) -> Option<ProbeVerdict>;
}

/// What a probe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeVerdict {
    /// Not asked often enough to say.
    Unknown,
    /// Passed.
    Success,
    /// Failed as often as its threshold says.
    Failure,
}

/// What was tried before. Durations are monotonic: a clock that jumps delays nothing.
pub trait Memory {
    /// How long a container must still wait after its last exit (crash-loop back-off); zero when it need not.
    fn restart_delay(&self, name: &str) -> Duration;
    /// How long a container must still wait after a start that failed before there was a container; zero when it need not.
    fn retry_delay(&self, name: &str) -> Duration;
    /// How long the sandbox must still wait after one that failed; zero when it need not.
    fn sandbox_delay(&self) -> Duration;
}

/// What to do now, and when to look again if nothing happens before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do, in this order, kills before starts. A failed kill or sandbox ends the round; a failed start doesn't hold up the next.
    pub actions: Vec<Action>,
    /// When a back-off ends, if one holds something back.
    pub wake_after: Option<Duration>,
    /// The containers that wait for their crash-loop back-off to end.
    pub backing_off: Vec<String>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Stop every container and sandbox of the pod, to make room for a new sandbox.
    KillPod,
    /// Remove the records of these init containers: they run again in the next sandbox, or only the newest is kept.
    RemoveInitRecords(Vec<ContainerId>),
    /// Make a sandbox.
    CreateSandbox {
        /// Which try it is.
        attempt: u32,
    },
    /// Stop one container.
    KillContainer {
        /// Which instance.
        id: ContainerId,
        /// Its name.
        name: String,
        /// Why, and with whose grace period.
        why: KillReason,
    },
    /// Make and start a container.
    StartContainer {
        /// Its name.
        name: String,
        /// What it is in the pod.
        role: Role,
    },
    /// Remove a dead container that is no longer needed for counts and last states.
    RemoveContainer(ContainerId),
    /// Stop and remove a sandbox that was replaced and is empty.
    RemoveSandbox(SandboxId),
}

impl Action {
    /// Whether it only clears away what is dead, so that nothing depends on it.
    pub const fn is_removal(&self) -> bool {
        matches!(self, Self::RemoveContainer(_) | Self::RemoveSandbox(_))
    }
}

/// Why a container is stopped while its pod lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillReason {
    /// Its liveness probe failed.
    Liveness,
    /// Its startup probe failed.
    Startup,
    /// Its image changed.
    DefinitionChanged,
    /// The runtime lost track of it.
    UnknownState,
    /// It has a successor, and is to be removed; it may run yet.
    BeforeRemoval,
}

/// What a container is in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A plain init container: runs to its end before the next starts.
    Init,
    /// An init container that stays (`restartPolicy: Always`).
    Sidecar,
    /// A regular container.
    Regular,
}

impl Role {
    /// The role of an entry of `initContainers`.
    pub fn of_init(container: &Container) -> Self {
        if container.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init }
    }
}

/// Whether a sandbox must be made before anything can run (`PodSandboxChanged`).
pub fn needs_sandbox(pod: &Pod, observed: &Observed) -> bool {
    sandbox::replacement(pod, observed).is_some()
}

/// Decides what to do about a pod that should run.
pub fn plan(inputs: Inputs<'_>) -> Plan {
    let mut plan = Plan::default();
    if let Some(create) = sandbox::replacement(inputs.pod, inputs.observed) {
        garbage::collect(&inputs, &mut plan);
        let delay = inputs.memory.sandbox_delay();
        if delay.is_zero() {
            plan.actions = sandbox::actions(&inputs, create, plan.actions);
        } else {
            plan.wake_at(delay);
        }
        return plan;
    }
    if init::advance(&inputs, &mut plan) == init::Progress::Complete {
        containers::advance(&inputs, &mut plan);
    }
    // Whatever is to be killed is killed before anything starts: an old instance may hold what another needs.
    plan.actions.sort_by_key(|action| !matches!(action, Action::KillContainer { .. }));
    garbage::collect(&inputs, &mut plan);
    plan
}

impl Plan {
    fn wake_at(&mut self, delay: Duration) {
        self.wake_after = Some(self.wake_after.map_or(delay, |earlier| earlier.min(delay)));
    }

    /// Starts a container, unless a back-off says to wait.
    fn start(&mut self, inputs: &Inputs<'_>, name: &str, role: Role) {
        let restart = inputs.memory.restart_delay(name);
        if !restart.is_zero() {
            self.backing_off.push(name.to_owned());
        }
        let delay = restart.max(inputs.memory.retry_delay(name));
        if delay.is_zero() {
            self.actions.push(Action::StartContainer { name: name.to_owned(), role });
        } else {
            self.wake_at(delay);
        }
    }
}

impl<'a> Inputs<'a> {
    fn init_containers(&self) -> &'a [Container] {
        let pod: &'a Pod = self.pod;
        pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default()
    }

    fn containers(&self) -> &'a [Container] {
        let pod: &'a Pod = self.pod;
        pod.spec.as_ref().map_or(&[], |spec| &spec.containers)
    }

    fn is_changed(&self, container: &super::observed::Container) -> bool {
        container.hash.as_ref() != self.hashes.get(&container.name)
    }
}
